// SPDX-License-Identifier: Apache-2.0
#include "netns/links.h"

#include <gmock/gmock.h>

#include <set>
#include <string>

namespace gantry::netns {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

IpAddress ip(std::string_view text) { return IpAddress::parse(text).value(); }

TEST(LinkMarks, NamesFollowFromBothIdsAndFitTheKernel) {
  LinkMarks marks("0123456789abcdef"), other("fedcba9876543210");
  std::set<std::string> names;
  for (int i = 0; i < 1000; ++i) {
    std::string id = "sandbox-" + std::to_string(i);
    EXPECT_THAT(marks.host_name(id), ::testing::MatchesRegex("gt[0-9a-v]{13}"));
    names.insert(marks.host_name(id));
    names.insert(other.host_name(id));
  }
  EXPECT_EQ(names.size(), 2000U);
  // A gantryd of a later release finds the links of this one.
  EXPECT_EQ(marks.host_name("sandbox-0"), "gtreo11kru02183");
  EXPECT_EQ(marks.group(), 972231561U);
}

TEST(LinkMarks, AddressesOfBothEndsAreLocalUnicastAndDiffer) {
  LinkMarks marks("node");
  MacAddress host = marks.host_mac("a"), pod = marks.pod_mac("a");
  EXPECT_NE(host, pod);
  EXPECT_EQ(host[0] & 3, 2);
  EXPECT_EQ(pod[0] & 3, 2);
  EXPECT_NE(pod, marks.pod_mac("b"));
}

TEST(Alias, SaysWhatWasPutIntoIt) {
  LinkMarks marks("node.1");
  std::string alias = marks.alias("web_0", {ip("10.88.0.5"), ip("fd00::5")});
  EXPECT_EQ(alias, "gantry:node.1:web_0:10.88.0.5,fd00::5");
  auto parts = parse_alias(alias);
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->instance, "node.1");
  EXPECT_EQ(parts->sandbox_id, "web_0");
  EXPECT_THAT(parts->addresses, ElementsAre(ip("10.88.0.5"), ip("fd00::5")));
}

TEST(Alias, TheLongestFits) {
  LinkMarks marks(std::string(48, 'i'));
  std::string alias =
      marks.alias(std::string(128, 's'), {ip("255.255.255.255"), ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")});
  EXPECT_LT(alias.size(), 256U);
}

TEST(Alias, WithoutAddressesIsOursToo) {
  auto parts = parse_alias("gantry:node:web");
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->sandbox_id, "web");
  EXPECT_THAT(parts->addresses, IsEmpty());
}

TEST(Alias, OfOthersIsNotOurs) {
  for (const char* alias :
       {"", "uplink", "gantry", "gantry:", "gantry:node", "gantry::web", "gantry:node:", "gantry:node::10.0.0.1",
        "gantry:node:web:", "gantry:node:web:10.0.0.1,", "gantry:node:web:10.0.0.1,x", "xgantry:n:w"}) {
    EXPECT_FALSE(parse_alias(alias)) << alias;
  }
}

}  // namespace
}  // namespace gantry::netns
