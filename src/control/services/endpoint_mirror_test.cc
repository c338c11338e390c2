// SPDX-License-Identifier: Apache-2.0
#include "control/services/endpoint_mirror.h"

#include <gmock/gmock.h>

#include "base/text.h"
#include "control/services/names.h"
#include "control/services/services_fixture.h"

namespace gantry::control::services {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

class EndpointMirrorTest : public ServicesTest {
 protected:
  core::Endpoints endpoints() {
    core::Endpoints out;
    out.mutable_metadata()->set_namespace_("default");
    out.mutable_metadata()->set_name("web");
    (*out.mutable_metadata()->mutable_labels())["tier"] = "front";
    (*out.mutable_metadata()->mutable_annotations())["note"] = "by hand";
    (*out.mutable_metadata()->mutable_annotations())[kTriggerTime] = "2026-01-01T00:00:00Z";
    core::EndpointSubset* subset = out.add_subsets();
    subset->add_addresses()->set_ip("192.0.2.1");
    subset->add_not_ready_addresses()->set_ip("192.0.2.2");
    core::EndpointPort* port = subset->add_ports();
    port->set_name("http");
    port->set_port(80);
    return out;
  }
  core::Service plain() {
    core::Service out = service("web");
    out.mutable_spec()->clear_selector();
    return out;
  }
  std::vector<SlicePtr> slices() { return informers_.of<EndpointSlice>().objects(); }

  EndpointMirror controller_{parts()};
};

TEST_F(EndpointMirrorTest, EndpointsOfAServiceWithoutASelectorAreMirrored) {
  made(wait(client_.create(plain())));
  start(controller_);
  core::Endpoints written = made(wait(client_.create(endpoints())));
  run_until([&] { return slices().size() == 1; });
  const EndpointSlice slice = *slices()[0];
  EXPECT_EQ(slice.metadata().labels().at(kManagedBy), "endpointslicemirroring-controller.k8s.io");
  EXPECT_EQ(slice.metadata().labels().at(kServiceName), "web");
  EXPECT_EQ(slice.metadata().labels().at("tier"), "front");
  EXPECT_EQ(slice.metadata().annotations().at("note"), "by hand");
  EXPECT_FALSE(slice.metadata().annotations().contains(kTriggerTime));
  EXPECT_EQ(slice.metadata().owner_references(0).kind(), "Endpoints");
  ASSERT_EQ(slice.endpoints_size(), 2);
  EXPECT_TRUE(slice.endpoints(0).conditions().ready());
  EXPECT_FALSE(slice.endpoints(1).conditions().ready());

  written.mutable_subsets(0)->mutable_addresses(0)->set_ip("2001:db8::1");
  written = made(wait(client_.update(written)));
  run_until([&] { return slices().size() == 2 && slices()[0]->endpoints_size() + slices()[1]->endpoints_size() == 2; });

  (*written.mutable_metadata()->mutable_labels())["endpointslice.kubernetes.io/skip-mirror"] = "true";
  written = made(wait(client_.update(written)));
  run_until([&] { return slices().empty(); });
  written.mutable_metadata()->mutable_labels()->clear();
  made(wait(client_.update(written)));
  run_until([&] { return slices().size() == 2; });
  ASSERT_TRUE(wait(client_.remove<core::Endpoints>("default", "web")));
  run_until([&] { return slices().empty(); });
}

TEST_F(EndpointMirrorTest, NotOfOneThatGetsASelector) {
  made(wait(client_.create(endpoints())));
  start(controller_);
  core::Service web = made(wait(client_.create(plain())));
  run_until([&] { return slices().size() == 1; });
  (*web.mutable_spec()->mutable_selector())["app"] = "web";
  made(wait(client_.update(web)));
  run_until([&] { return slices().empty(); });
}

TEST(MirroredEndpointsTest, NoMoreThanAThousandOfASubset) {
  core::Endpoints endpoints;
  for (int i = 0; i < 2; ++i) {
    core::EndpointSubset* subset = endpoints.add_subsets();
    subset->add_ports()->set_port(80 + i);
    subset->add_addresses()->set_ip("127.0.0.1");
    for (int j = 0; j < 1003; ++j) subset->add_addresses()->set_ip(cat("10.", i, ".", j / 250, ".", j % 250 + 1));
  }
  MirroredEndpoints mirrored = mirrored_endpoints(endpoints);
  EXPECT_EQ(mirrored.invalid, 2);
  EXPECT_EQ(mirrored.beyond, 6);
  const SlicePlan plan = plan_slices(mirrored.frame, std::move(mirrored.groups), {}, [](const std::string&) {
    return false;
  });
  ASSERT_THAT(plan.create, SizeIs(2));
  EXPECT_EQ(plan.create[0].endpoints_size(), 1000);
  EXPECT_THAT(plan.update, IsEmpty());
}

}  // namespace
}  // namespace gantry::control::services
