// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/core/resource_field.h"

#include <gtest/gtest.h>

#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::api {
namespace {

namespace core = k8s::io::api::core::v1;

const Allocatable kNode{{"cpu", "3900m"}, {"memory", "4Gi"}, {"ephemeral-storage", "10Gi"}};

core::Pod pod() {
  core::Pod pod;
  auto& web = *pod.mutable_spec()->add_containers();
  web.set_name("web");
  auto& resources = *web.mutable_resources();
  (*resources.mutable_limits())["cpu"].set_string("1500m");
  (*resources.mutable_requests())["memory"].set_string("100Mi");
  auto& first = *pod.mutable_spec()->add_init_containers();
  first.set_name("first");
  (*first.mutable_resources()->mutable_requests())["cpu"].set_string("50m");
  return pod;
}

std::string field(const std::string& resource, const std::string& divisor = "0", const std::string& container = "") {
  const core::Pod asked = pod();
  core::ResourceFieldSelector reference;
  reference.set_resource(resource);
  reference.set_container_name(container);
  reference.mutable_divisor()->set_string(divisor);
  auto value = resource_field(asked, &asked.spec().containers(0), reference, kNode);
  return value ? *value : "error: " + value.error().message();
}

TEST(ResourceField, IsInUnitsOfItsDivisorRoundedUp) {
  EXPECT_EQ(field("limits.cpu"), "2");
  EXPECT_EQ(field("limits.cpu", "1m"), "1500");
  EXPECT_EQ(field("requests.memory"), "104857600");
  EXPECT_EQ(field("requests.memory", "1Mi"), "100");
  EXPECT_EQ(field("requests.memory", "30Mi"), "4");
}

TEST(ResourceField, ALimitThatIsMissingIsTheNodes) {
  EXPECT_EQ(field("limits.memory"), "4294967296");
  EXPECT_EQ(field("limits.ephemeral-storage", "1Gi"), "10");
  EXPECT_EQ(field("limits.cpu", "1m", "first"), "3900");
  EXPECT_EQ(field("requests.ephemeral-storage"), "0");
}

TEST(ResourceField, AnotherContainerCanBeNamed) {
  EXPECT_EQ(field("requests.cpu", "1m", "first"), "50");
  EXPECT_EQ(field("requests.cpu", "1m", "other"), "error: container \"other\" not found");
}

TEST(ResourceField, OtherResourcesThereAreNot) {
  EXPECT_EQ(field("limits.hugepages-2Mi"), "0");
  EXPECT_EQ(field("limits.gpu"), "error: unsupported container resource : limits.gpu");
  EXPECT_EQ(field("cpu"), "error: unsupported container resource : cpu");
}

}  // namespace
}  // namespace gantry::api
