// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/pod_names.h"

#include <gtest/gtest.h>

#include <set>

#include "api/names.h"

namespace gantry::control::workloads {
namespace {

TEST(PodNamesTest, AreTheSameInEveryRelease) {
  EXPECT_EQ(pod_name("web", "0d9a8f3c-aaaa-4bbb-8ccc-1234567890ab", "0"), "web-m5r7s");
  EXPECT_EQ(pod_name("web", "0d9a8f3c-aaaa-4bbb-8ccc-1234567890ab", "node-1"), "web-5j47n");
}

TEST(PodNamesTest, ThousandsOfOneOwnerDiffer) {
  std::set<std::string> names;
  for (int slot = 0; slot < 2000; ++slot) names.insert(pod_name("web", "uid", std::to_string(slot)));
  EXPECT_GE(names.size(), 1995U);
}

TEST(PodNamesTest, ALongOwnersNameIsCut) {
  const std::string name = pod_name(std::string(253, 'a'), "uid", "0");
  EXPECT_EQ(name.size(), 63U);
  EXPECT_TRUE(api::check_dns1123_subdomain(name).empty());
}

TEST(PodNamesTest, ATakenNameIsPassedBy) {
  std::set<std::string> taken;
  for (int more = 0; more < 3; ++more) {
    const auto is_taken = [&](const std::string& name) { return taken.contains(name); };
    const std::string name = free_pod_name("web", "uid", "0", is_taken);
    EXPECT_TRUE(taken.insert(name).second);
  }
  EXPECT_TRUE(taken.contains(pod_name("web", "uid", "0")));
}

}  // namespace
}  // namespace gantry::control::workloads
