// SPDX-License-Identifier: Apache-2.0
#include "control/services/endpoint_slices.h"

#include <gmock/gmock.h>

#include "base/text.h"
#include "control/services/names.h"
#include "control/services/services_fixture.h"

namespace gantry::control::services {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

class EndpointSlicesTest : public ServicesTest {
 protected:
  std::vector<SlicePtr> slices() {
    std::vector<SlicePtr> out = informers_.of<EndpointSlice>().objects();
    std::erase_if(out, [](const SlicePtr& slice) { return slice->metadata().labels().at(kServiceName) != "web"; });
    return out;
  }
  // Of each endpoint of the service: "ADDRESS ready serving terminating".
  std::string text() {
    std::string out;
    for (const SlicePtr& slice : slices()) {
      for (const Endpoint& endpoint : slice->endpoints()) {
        const auto& conditions = endpoint.conditions();
        out += cat(out.empty() ? "" : ", ", endpoint.addresses(0), conditions.ready() ? " ready" : "",
                   conditions.serving() ? " serving" : "", conditions.terminating() ? " terminating" : "");
      }
    }
    return out;
  }
  void expect(const std::string& wanted) {
    run_until([&] { return text() == wanted; });
    EXPECT_EQ(text(), wanted);
  }

  EndpointSliceController controller_{parts()};
};

TEST_F(EndpointSlicesTest, PodsComeAndGo) {
  make_node("n1", "zone-a");
  core::Service web = service("web");
  (*web.mutable_metadata()->mutable_labels())["tier"] = "front";
  web = made(wait(client_.create(web)));
  start(controller_);
  run_until([&] { return slices().size() == 1; });
  EXPECT_THAT(slices()[0]->endpoints(), IsEmpty());

  core::Pod pod = make_pod("a", "web");
  make_pod("other", "db");
  tell(pod, "10.0.0.1", false);
  expect("10.0.0.1");
  tell(get_pod("a"), "10.0.0.1", true);
  expect("10.0.0.1 ready serving");
  ASSERT_THAT(slices(), SizeIs(1));
  const EndpointSlice slice = *slices()[0];
  EXPECT_EQ(slice.metadata().labels().at("tier"), "front");
  EXPECT_EQ(slice.metadata().labels().at(kManagedBy), "endpointslice-controller.k8s.io");
  EXPECT_EQ(slice.metadata().owner_references(0).uid(), web.metadata().uid());
  ASSERT_EQ(slice.ports_size(), 1);
  EXPECT_EQ(slice.ports(0).port(), 8080);
  EXPECT_EQ(slice.endpoints(0).zone(), "zone-a");
  EXPECT_EQ(slice.endpoints(0).node_name(), "n1");
  EXPECT_EQ(slice.endpoints(0).target_ref().uid(), pod.metadata().uid());

  (void)wait(client_.remove<core::Pod>("default", "a", {.grace_period = 30}));
  expect("10.0.0.1 serving terminating");
  tell(get_pod("a"), "10.0.0.1", false, "Succeeded");
  expect("");
}

TEST_F(EndpointSlicesTest, PodsThatAreNotReadyCanBeWanted) {
  make_node("n1");
  core::Service web = service("web");
  web.mutable_spec()->set_publish_not_ready_addresses(true);
  made(wait(client_.create(web)));
  start(controller_);
  tell(make_pod("a", "web"), "10.0.0.1", false);
  expect("10.0.0.1 ready");
}

TEST_F(EndpointSlicesTest, ANodeThatComesBringsItsPods) {
  made(wait(client_.create(service("web"))));
  start(controller_);
  tell(make_pod("a", "web", "late"), "10.0.0.1", true);
  run_until([&] { return slices().size() == 1; });
  EXPECT_EQ(text(), "");
  core::Node node = make_node("late", "zone-a");
  expect("10.0.0.1 ready serving");
  EXPECT_EQ(slices()[0]->endpoints(0).zone(), "zone-a");
  (*node.mutable_metadata()->mutable_labels())["topology.kubernetes.io/zone"] = "zone-b";
  made(wait(client_.update(node)));
  run_until([&] { return slices()[0]->endpoints(0).zone() == "zone-b"; });
}

TEST_F(EndpointSlicesTest, ManyPodsAreFewWrites) {
  make_node("n1");
  for (int i = 0; i < 120; ++i) tell(make_pod(cat("p", i), "web"), cat("10.0.1.", i + 1), true);
  std::uint64_t writes = 0;
  informers_.of<EndpointSlice>().on_change([&](const api::Informer::Change&) { ++writes; });
  made(wait(client_.create(service("web"))));
  start(controller_);
  const auto count = [&] {
    int all = 0;
    for (const SlicePtr& slice : slices()) all += slice->endpoints_size();
    return all;
  };
  run_until([&] { return count() == 120; });
  EXPECT_EQ(writes, 2U);
  EXPECT_THAT(slices(), SizeIs(2));
}

TEST_F(EndpointSlicesTest, WhatOthersChangeIsMended) {
  make_node("n1");
  made(wait(client_.create(service("web"))));
  start(controller_);
  tell(make_pod("a", "web"), "10.0.0.1", true);
  expect("10.0.0.1 ready serving");
  const EndpointSlice slice = *slices()[0];
  EndpointSlice emptied = slice;
  emptied.clear_endpoints();
  emptied = made(wait(client_.update(emptied)));
  run_until([&] {
    const std::string& version = slices()[0]->metadata().resource_version();
    return version != slice.metadata().resource_version() && version != emptied.metadata().resource_version() &&
           text() == "10.0.0.1 ready serving";
  });
  ASSERT_TRUE(wait(client_.remove<EndpointSlice>("default", slices()[0]->metadata().name())));
  run_until([&] {
    return slices().size() == 1 && slices()[0]->metadata().uid() != slice.metadata().uid() &&
           text() == "10.0.0.1 ready serving";
  });
}

TEST_F(EndpointSlicesTest, HintsFollowTheService) {
  make_node("n1", "zone-a");
  core::Service web = service("web");
  web.mutable_spec()->set_traffic_distribution("PreferSameNode");
  web = made(wait(client_.create(web)));
  start(controller_);
  tell(make_pod("a", "web"), "10.0.0.1", true);
  expect("10.0.0.1 ready serving");
  EXPECT_EQ(slices()[0]->endpoints(0).hints().for_zones(0).name(), "zone-a");
  EXPECT_EQ(slices()[0]->endpoints(0).hints().for_nodes(0).name(), "n1");
  web.mutable_spec()->set_traffic_distribution("PreferClose");
  web = made(wait(client_.update(web)));
  run_until([&] { return slices()[0]->endpoints(0).hints().for_nodes_size() == 0; });
  EXPECT_EQ(slices()[0]->endpoints(0).hints().for_zones_size(), 1);
  web.mutable_spec()->clear_traffic_distribution();
  made(wait(client_.update(web)));
  run_until([&] { return !slices()[0]->endpoints(0).has_hints(); });
}

TEST_F(EndpointSlicesTest, ServicesWithoutASelectorAreLeftAlone) {
  make_node("n1");
  core::Service web = service("web");
  web.mutable_spec()->clear_selector();
  made(wait(client_.create(web)));
  made(wait(client_.create(service("db"))));
  start(controller_);
  run_until([&] { return !informers_.of<EndpointSlice>().all().empty(); });
  EXPECT_THAT(slices(), IsEmpty());
}

}  // namespace
}  // namespace gantry::control::services
