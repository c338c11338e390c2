// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/capabilities.h"

#include <gtest/gtest.h>
#include <linux/capability.h>

#include <bit>

namespace gantry::runtime {
namespace {

TEST(Capabilities, NamesAreTakenInEveryForm) {
  for (const char* name : {"NET_RAW", "CAP_NET_RAW", "cap_net_raw", "Net_Raw"}) {
    auto number = capability_number(name);
    ASSERT_TRUE(number) << name;
    EXPECT_EQ(*number, CAP_NET_RAW) << name;
  }
  for (const char* name : {"", "CAP_", "NET_RAW ", "NETRAW", "CAP_CAP_NET_RAW", "13"}) {
    EXPECT_FALSE(capability_number(name)) << name;
  }
}

TEST(Capabilities, NamesAndNumbersAgree) {
  for (int number = 0; number <= CAP_LAST_CAP && number <= kLastNamedCapability; ++number) {
    auto back = capability_number(capability_name(number));
    ASSERT_TRUE(back) << number;
    EXPECT_EQ(*back, number);
  }
  EXPECT_EQ(capability_name(CAP_WAKE_ALARM), "CAP_WAKE_ALARM");
  EXPECT_EQ(capability_name(CAP_MAC_ADMIN), "CAP_MAC_ADMIN");
  EXPECT_EQ(capability_name(CAP_LEASE), "CAP_LEASE");
  EXPECT_EQ(capability_name(CAP_IPC_LOCK), "CAP_IPC_LOCK");
  EXPECT_EQ(capability_name(63), "CAP_63");
}

TEST(Capabilities, Sets) {
  EXPECT_EQ(std::popcount(kDefaultCapabilities), 14);
  EXPECT_EQ(kDefaultCapabilities, 0xa80425fbU);  // what a container of docker or containerd shows as CapBnd
  EXPECT_EQ(capabilities_up_to(40), 0x1ffffffffffU);
  EXPECT_EQ(capabilities_up_to(63), ~CapabilitySet{0});
  std::vector<std::string> names = {"CHOWN", "all"};
  EXPECT_EQ(*parse_capabilities(names, 0xf0), 0xf1U);
  names = {"CHOWN", "NO_SUCH"};
  auto bad = parse_capabilities(names, 0);
  ASSERT_FALSE(bad);
  EXPECT_TRUE(bad.error().is_invalid());
  EXPECT_NE(bad.error().message().find("NO_SUCH"), std::string::npos);
  EXPECT_EQ(to_string_capabilities(0), "none");
  EXPECT_EQ(to_string_capabilities(0x21), "CAP_CHOWN CAP_KILL");
}

}  // namespace
}  // namespace gantry::runtime
