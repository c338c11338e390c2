// SPDX-License-Identifier: Apache-2.0
#include "control/services/endpoints.h"

#include <gmock/gmock.h>

#include "base/text.h"
#include "control/services/names.h"
#include "control/services/services_fixture.h"
#include "control/services/subsets.h"

namespace gantry::control::services {
namespace {

using testing::SizeIs;

// "a:80,b:443=10.0.0.1 10.0.0.2!": addresses with ! are not ready.
std::string text_of(const core::EndpointSubset& subset) {
  std::string out;
  for (const core::EndpointPort& port : subset.ports()) {
    out += cat(out.empty() ? "" : ",", port.name(), ":", port.port());
  }
  out += "=";
  for (const core::EndpointAddress& address : subset.addresses()) out += cat(address.ip(), " ");
  for (const core::EndpointAddress& address : subset.not_ready_addresses()) out += cat(address.ip(), "! ");
  return out;
}
template <typename Subsets>
std::string text_of_all(const Subsets& subsets) {
  std::string out;
  for (const core::EndpointSubset& subset : subsets) out += text_of(subset);
  return out;
}

TEST(SubsetsTest, PortsOfTheSameAddressesAreTogether) {
  core::Service service;
  for (const auto& [name, target] : {std::pair("http", "web"), std::pair("more", "web"), std::pair("side", "side")}) {
    core::ServicePort* port = service.mutable_spec()->add_ports();
    port->set_name(name);
    port->set_protocol("TCP");
    port->mutable_target_port()->set_type(1);
    port->mutable_target_port()->set_str_val(target);
  }
  std::vector<std::shared_ptr<const core::Pod>> pods;
  for (int i = 1; i <= 3; ++i) {
    auto pod = std::make_shared<core::Pod>();
    pod->mutable_metadata()->set_uid(cat("uid-", i));
    pod->mutable_status()->set_pod_ip(cat("10.0.0.", i));
    core::PodCondition* ready = pod->mutable_status()->add_conditions();
    ready->set_type("Ready");
    ready->set_status(i == 3 ? "False" : "True");
    for (const char* name : {"web", "side"}) {
      if (i == 2 && std::string_view(name) == "side") continue;
      core::ContainerPort* port = (pod->spec().containers().empty() ? pod->mutable_spec()->add_containers()
                                                                    : pod->mutable_spec()->mutable_containers(0))
                                      ->add_ports();
      port->set_name(name);
      port->set_protocol("TCP");
      port->set_container_port(std::string_view(name) == "web" ? 8080 + i / 3 : 9000);
    }
    pods.push_back(std::move(pod));
  }
  EXPECT_EQ(text_of_all(subsets_of(service, pods)),
            "http:8080,more:8080=10.0.0.1 10.0.0.2 side:9000=10.0.0.1 10.0.0.3! http:8081,more:8081=10.0.0.3! ");
}

core::EndpointSubset subset(int ready, int not_ready) {
  core::EndpointSubset out;
  for (int i = 0; i < ready; ++i) out.add_addresses();
  for (int i = 0; i < not_ready; ++i) out.add_not_ready_addresses();
  return out;
}
std::string sizes(const Subsets& subsets) {
  std::string out;
  for (const auto& each : subsets) out += cat(each.addresses_size(), "+", each.not_ready_addresses_size(), " ");
  return out;
}

TEST(SubsetsTest, NoMoreThanAThousandAddresses) {
  const auto truncated = [](Subsets subsets) { return cat(truncate(&subsets) ? "cut " : "", sizes(subsets)); };
  EXPECT_EQ(truncated({subset(400, 600)}), "400+600 ");
  EXPECT_EQ(truncated({subset(400, 601)}), "cut 400+600 ");
  EXPECT_EQ(truncated({subset(1100, 10), subset(1100, 0)}), "cut 500+0 500+0 ");
  EXPECT_EQ(truncated({subset(100, 900), subset(800, 300)}), "cut 100+75 800+25 ");
  EXPECT_EQ(truncated({subset(1000, 5), subset(0, 5)}), "cut 1000+0 ");
}

class EndpointsTest : public ServicesTest {
 protected:
  std::shared_ptr<const core::Endpoints> endpoints() {
    return informers_.of<core::Endpoints>().find("default", "web");
  }
  std::string text() { return endpoints() == nullptr ? "none" : text_of_all(endpoints()->subsets()); }
  void expect(const std::string& wanted) {
    run_until([&] { return text() == wanted; });
    EXPECT_EQ(text(), wanted);
  }
  core::Endpoints made_by_hand(const std::string& name) {
    core::Endpoints out;
    out.mutable_metadata()->set_namespace_("default");
    out.mutable_metadata()->set_name(name);
    core::EndpointSubset* subset = out.add_subsets();
    subset->add_addresses()->set_ip("192.0.2.1");
    subset->add_ports()->set_port(80);
    return made(wait(client_.create(out)));
  }

  EndpointsController controller_{parts()};
};

TEST_F(EndpointsTest, PodsComeAndGo) {
  made(wait(client_.create(service("web"))));
  start(controller_);
  expect("");
  EXPECT_EQ(endpoints()->metadata().labels().at("endpoints.kubernetes.io/managed-by"), "endpoint-controller");
  tell(make_pod("a", "web"), "10.0.0.1", false);
  expect("http:8080=10.0.0.1! ");
  tell(get_pod("a"), "10.0.0.1", true);
  expect("http:8080=10.0.0.1 ");
  (void)wait(client_.remove<core::Pod>("default", "a", {.grace_period = 30}));
  expect("");
  ASSERT_TRUE(wait(client_.remove<core::Service>("default", "web")));
  expect("none");
}

TEST_F(EndpointsTest, ThoseOfServicesThatWereDeletedMeanwhileGo) {
  made_by_hand("web");
  core::Service other = service("other");
  other.mutable_spec()->clear_selector();
  made(wait(client_.create(other)));
  made_by_hand("other");
  start(controller_);
  expect("none");
  EXPECT_NE(informers_.of<core::Endpoints>().find("default", "other"), nullptr);
  // Whoever makes some without a service may have them.
  made_by_hand("web");
  made(wait(client_.create(service("third"))));
  run_until([&] { return informers_.of<core::Endpoints>().find("default", "third") != nullptr; });
  EXPECT_NE(endpoints(), nullptr);
}

TEST_F(EndpointsTest, WhatOthersChangeIsMended) {
  made(wait(client_.create(service("web"))));
  start(controller_);
  tell(make_pod("a", "web"), "10.0.0.1", true);
  expect("http:8080=10.0.0.1 ");
  const std::string uid = endpoints()->metadata().uid();
  ASSERT_TRUE(wait(client_.remove<core::Endpoints>("default", "web")));
  run_until([&] { return endpoints() != nullptr && endpoints()->metadata().uid() != uid; });
  expect("http:8080=10.0.0.1 ");
}

}  // namespace
}  // namespace gantry::control::services
