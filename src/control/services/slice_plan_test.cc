// SPDX-License-Identifier: Apache-2.0
#include "control/services/slice_plan.h"

#include <gmock/gmock.h>

#include "base/text.h"
#include "control/services/names.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::services {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;

// In the order of the numbers, also as texts.
std::string address(int number) { return cat("10.0.", number / 100, ".", number % 100 + 100); }

Endpoint endpoint(int number, bool ready = true) {
  Endpoint out;
  out.add_addresses(address(number));
  out.mutable_conditions()->set_ready(ready);
  return out;
}

class SlicePlanTest : public testing::Test {
 protected:
  SliceFrame frame_{.owner = {.api_version = "v1",
                              .kind = "Service",
                              .ns = "default",
                              .name = "web",
                              .uid = "uid-1",
                              .resource_version = "1",
                              .selector = {}},
                    .address_types = {"IPv4"},
                    .labels = {{kServiceName, "web"}},
                    .annotations = {},
                    .keeps_one = true};
  std::map<std::string, SlicePtr> stored_;

  static std::vector<EndpointPort> ports(int number) {
    EndpointPort port;
    port.set_name("http");
    port.set_protocol("TCP");
    port.set_port(number);
    return {port};
  }
  static EndpointGroups range(int from, int to, int port = 80) {
    EndpointGroups groups;
    for (int i = from; i < to; ++i) groups.add("IPv4", ports(port), endpoint(i));
    return groups;
  }
  std::vector<SlicePtr> stored() const {
    std::vector<SlicePtr> out;
    for (const auto& [name, slice] : stored_) out.push_back(slice);
    return out;
  }
  SlicePlan plan(EndpointGroups groups) {
    return plan_slices(frame_, std::move(groups), stored(), [this](const std::string& name) {
      return stored_.contains(name);
    });
  }
  // Plans, and does what was planned; "created updated removed".
  std::string apply(EndpointGroups groups) {
    SlicePlan planned = plan(std::move(groups));
    for (const EndpointSlice& slice : planned.create) {
      EXPECT_FALSE(stored_.contains(slice.metadata().name()));
      stored_[slice.metadata().name()] = std::make_shared<EndpointSlice>(slice);
    }
    for (const EndpointSlice& slice : planned.update) {
      EXPECT_TRUE(stored_.contains(slice.metadata().name()));
      stored_[slice.metadata().name()] = std::make_shared<EndpointSlice>(slice);
    }
    for (const SlicePtr& slice : planned.remove) stored_.erase(slice->metadata().name());
    return cat(planned.create.size(), " ", planned.update.size(), " ", planned.remove.size());
  }
  std::vector<int> sizes() const {
    std::vector<int> out;
    for (const auto& [name, slice] : stored_) out.push_back(slice->endpoints_size());
    std::ranges::sort(out);
    return out;
  }
};

TEST_F(SlicePlanTest, WithoutEndpointsThereIsOneSliceWithoutPorts) {
  const SlicePlan planned = plan({});
  ASSERT_THAT(planned.create, SizeIs(1));
  const EndpointSlice& slice = planned.create[0];
  EXPECT_THAT(slice.metadata().name(), StartsWith("web-"));
  EXPECT_EQ(slice.metadata().generate_name(), "web-");
  EXPECT_EQ(slice.address_type(), "IPv4");
  ASSERT_EQ(slice.metadata().owner_references_size(), 1);
  EXPECT_EQ(slice.metadata().owner_references(0).uid(), "uid-1");
  EXPECT_EQ(apply({}), "1 0 0");
  EXPECT_EQ(apply({}), "0 0 0");
  // It is used when endpoints come, and again when they go.
  EXPECT_EQ(apply(range(0, 3)), "0 1 0");
  EXPECT_EQ(apply({}), "0 1 0");
  EXPECT_THAT(sizes(), ElementsAre(0));
}

TEST_F(SlicePlanTest, ASliceHasAHundredEndpoints) {
  EXPECT_EQ(apply(range(0, 250)), "3 0 0");
  EXPECT_THAT(sizes(), ElementsAre(50, 100, 100));
  EXPECT_EQ(apply(range(0, 250)), "0 0 0");
}

TEST_F(SlicePlanTest, NewEndpointsComeIntoOneSliceThatHasRoom) {
  apply(range(0, 150));
  EXPECT_EQ(apply(range(0, 160)), "0 1 0");
  EXPECT_THAT(sizes(), ElementsAre(60, 100));
  // Too many for it: slices of their own, as upstream does.
  EXPECT_EQ(apply(range(0, 220)), "1 0 0");
  EXPECT_THAT(sizes(), ElementsAre(60, 60, 100));
}

TEST_F(SlicePlanTest, WhatChangesAnyhowIsFilledFirst) {
  apply(range(0, 200));
  // Ten of the first hundred go, ten others come.
  EndpointGroups groups = range(10, 210);
  EXPECT_EQ(apply(std::move(groups)), "0 1 0");
  EXPECT_THAT(sizes(), ElementsAre(100, 100));
}

TEST_F(SlicePlanTest, AnEndpointThatChangesStaysWhereItIs) {
  apply(range(0, 150));
  EndpointGroups groups = range(1, 150);
  groups.add("IPv4", ports(80), endpoint(0, false));
  const SlicePlan planned = plan(std::move(groups));
  ASSERT_THAT(planned.update, SizeIs(1));
  EXPECT_THAT(planned.create, IsEmpty());
  EXPECT_EQ(planned.update[0].endpoints_size(), 100);
}

TEST_F(SlicePlanTest, ASliceWithoutEndpointsGoes) {
  apply(range(0, 101));
  EXPECT_EQ(apply(range(0, 100)), "0 0 1");
}

TEST_F(SlicePlanTest, OtherPortsAreOtherSlices) {
  EndpointGroups groups = range(0, 2, 80);
  groups.add("IPv4", ports(8080), endpoint(5));
  EXPECT_EQ(apply(std::move(groups)), "2 0 0");
  // A slice that nobody needs becomes the new one.
  EXPECT_EQ(apply(range(0, 3, 443)), "0 1 1");
  EXPECT_EQ(stored()[0]->ports(0).port(), 443);
}

TEST_F(SlicePlanTest, LabelsAndTriggerTimesFollow) {
  frame_.trigger_time = "2026-01-01T00:00:00Z";
  apply(range(0, 1));
  EXPECT_EQ(stored()[0]->metadata().annotations().at(kTriggerTime), "2026-01-01T00:00:00Z");
  frame_.trigger_time = "";
  EXPECT_EQ(apply(range(0, 1)), "0 0 0");
  frame_.labels["tier"] = "front";
  EXPECT_EQ(apply(range(0, 1)), "0 1 0");
  EXPECT_EQ(stored()[0]->metadata().labels().at("tier"), "front");
  EXPECT_FALSE(stored()[0]->metadata().annotations().contains(kTriggerTime));
}

TEST_F(SlicePlanTest, SlicesOfAnotherServiceOfTheNameGo) {
  apply(range(0, 1));
  const std::string first = stored()[0]->metadata().name();
  frame_.owner.uid = "uid-2";
  EXPECT_EQ(apply(range(0, 1)), "1 0 1");
  EXPECT_NE(stored()[0]->metadata().name(), first);
}

TEST_F(SlicePlanTest, AFamilyThatTheServiceHasNoMoreGoes) {
  apply(range(0, 1));
  frame_.address_types = {"IPv6"};
  EXPECT_EQ(apply({}), "1 0 1");
  EXPECT_EQ(stored()[0]->address_type(), "IPv6");
}

TEST_F(SlicePlanTest, ANameThatIsTakenIsNotAskedFor) {
  const std::string first = plan({}).create[0].metadata().name();
  const SlicePlan planned =
      plan_slices(frame_, {}, {}, [&first](const std::string& name) { return name == first; });
  EXPECT_NE(planned.create[0].metadata().name(), first);
}

}  // namespace
}  // namespace gantry::control::services
