// SPDX-License-Identifier: Apache-2.0
#include "agent/resource_field.h"

#include <gtest/gtest.h>

#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;

TEST(ResourceField, IsRoundedUpToTheDivisor) {
  core::Container container;
  const auto set = [](auto& amounts, const char* name, const char* text) { amounts[name].set_string(text); };
  set(*container.mutable_resources()->mutable_limits(), "cpu", "1250m");
  set(*container.mutable_resources()->mutable_requests(), "memory", "33Mi");
  const std::map<std::string, api::Quantity> allocatable{{"memory", api::Quantity(1 << 30)}, {"cpu", api::Quantity(8)}};
  const auto said = [&](const char* resource, const char* divisor) {
    core::ResourceFieldSelector selector;
    selector.set_resource(resource);
    selector.mutable_divisor()->set_string(divisor);
    auto text = resource_field(container, selector, allocatable);
    return text ? *text : text.error().message();
  };
  EXPECT_EQ(said("limits.cpu", ""), "2");
  EXPECT_EQ(said("limits.cpu", "1m"), "1250");
  EXPECT_EQ(said("requests.cpu", "1m"), "0");
  EXPECT_EQ(said("requests.memory", "0"), "34603008");
  EXPECT_EQ(said("requests.memory", "1Mi"), "33");
  EXPECT_EQ(said("requests.memory", "1Gi"), "1");
  EXPECT_EQ(said("limits.memory", "1Mi"), "1024") << "the node's";
  EXPECT_EQ(said("limits.ephemeral-storage", "1"), "0");
  EXPECT_EQ(said("usage.cpu", ""), "unsupported container resource: \"usage.cpu\"");
  EXPECT_NE(said("limits.cpu", "x").find("x"), std::string::npos);
}

}  // namespace
}  // namespace gantry::agent
