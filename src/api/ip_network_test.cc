// SPDX-License-Identifier: Apache-2.0
#include "api/ip_network.h"

#include <gtest/gtest.h>

namespace gantry::api {
namespace {

TEST(IpNetwork, AddressesAreNumbers) {
  EXPECT_EQ(to_string(parse_ip("10.96.0.0")->plus(10)), "10.96.0.10");
  EXPECT_EQ(to_string(parse_ip("fd00::")->plus(10)), "fd00::a");
  EXPECT_FALSE(parse_ip("10.96.0"));
  EXPECT_FALSE(parse_ip("fe80::1%eth0"));
  EXPECT_FALSE(parse_ip(""));
}

TEST(IpNetwork, NetworksHaveAddresses) {
  const IpNetwork v4 = *parse_network("10.96.0.0/12");
  EXPECT_TRUE(v4.contains(*parse_ip("10.111.255.255")));
  EXPECT_FALSE(v4.contains(*parse_ip("10.112.0.0")));
  EXPECT_FALSE(v4.contains(*parse_ip("::a60:1")));
  EXPECT_EQ(static_cast<int>(v4.size()), 1 << 20);
  EXPECT_TRUE(v4.overlaps(*parse_network("10.100.0.0/16")));
  EXPECT_EQ(to_string(*parse_network("fd00::/108")), "fd00::/108");
  EXPECT_EQ(static_cast<int>(parse_network("fd00::/108")->size()), 1 << 20);
  EXPECT_TRUE(parse_network("0.0.0.0/0")->contains(*parse_ip("1.2.3.4")));
  EXPECT_TRUE(parse_network("::/0")->contains(*parse_ip("fd00::1")));
}

TEST(IpNetwork, TextIsChecked) {
  for (const char* bad : {"10.0.0.0", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.1/24", "10.0.0.0/", "/8", "fd00::/129"}) {
    EXPECT_FALSE(parse_network(bad)) << bad;
  }
}

}  // namespace
}  // namespace gantry::api
