// SPDX-License-Identifier: Apache-2.0
#include "netns/address.h"

#include <gmock/gmock.h>

#include <string>

namespace gantry::netns {
namespace {

using ::testing::HasSubstr;

IpAddress ip(std::string_view text) { return IpAddress::parse(text).value(); }
Cidr range(std::string_view text) { return Cidr::parse(text).value(); }

TEST(IpAddress, ParsesAndPrintsBothFamilies) {
  for (const char* text : {"0.0.0.0", "10.88.0.5", "255.255.255.255", "::", "fd00::5", "2001:db8:1:2:3:4:5:6"}) {
    EXPECT_EQ(ip(text).to_string(), text);
  }
  EXPECT_TRUE(ip("10.88.0.5").is_v4());
  EXPECT_FALSE(ip("fd00::5").is_v4());
  EXPECT_EQ(IpAddress().to_string(), "0.0.0.0");
}

TEST(IpAddress, RefusesWhatIsNoAddress) {
  for (std::string text : {std::string(), std::string("10.88.0"), std::string("10.88.0.256"), std::string("10.88.0.05"),
                           std::string(" 10.88.0.5"), std::string("10.88.0.5/16"), std::string("fe80::1%eth0"),
                           std::string("10.88.0.5\0", 10), std::string(100000, '1')}) {
    auto address = IpAddress::parse(text);
    ASSERT_FALSE(address);
    EXPECT_TRUE(address.error().is_invalid());
    EXPECT_LT(address.error().message().size(), 400U);
  }
}

TEST(IpAddress, ComesFromBytesOfEitherFamilyAndNoOther) {
  const std::uint8_t bytes[17] = {10, 88, 0, 5};
  EXPECT_EQ(IpAddress::from_bytes({bytes, 4})->to_string(), "10.88.0.5");
  EXPECT_EQ(IpAddress::from_bytes({bytes, 16})->to_string(), "a58:5::");
  EXPECT_FALSE(IpAddress::from_bytes({bytes, 0}));
  EXPECT_FALSE(IpAddress::from_bytes({bytes, 5}));
  EXPECT_FALSE(IpAddress::from_bytes({bytes, 17}));
}

TEST(IpAddress, CountsOnAndBack) {
  EXPECT_EQ(ip("10.88.0.255").plus(1), ip("10.88.1.0"));
  EXPECT_EQ(ip("10.88.255.255").plus(65537), ip("10.90.0.0"));
  EXPECT_EQ(ip("255.255.255.255").plus(1), std::nullopt);
  EXPECT_EQ(ip("0.0.0.0").plus(~0ULL), std::nullopt);
  EXPECT_EQ(ip("::").plus(~0ULL), ip("::ffff:ffff:ffff:ffff"));
  EXPECT_EQ(ip("::ffff:ffff:ffff:ffff").plus(~0ULL), ip("::1:ffff:ffff:ffff:fffe"));
  EXPECT_EQ(ip("10.90.0.0").offset_from(ip("10.88.255.255")), 65537U);
  EXPECT_EQ(ip("::1:0:0:0:0").offset_from(ip("::ffff:ffff:ffff:ffff")), 1U);
  EXPECT_EQ(ip("::1:0:0:0:0").offset_from(ip("::")), std::nullopt);  // 2^64
  EXPECT_EQ(ip("10.0.0.1").offset_from(ip("10.0.0.2")), std::nullopt);
  EXPECT_EQ(ip("::a").offset_from(ip("0.0.0.1")), std::nullopt);
}

TEST(IpAddress, FamiliesDiffer) {
  EXPECT_NE(ip("0.0.0.0"), ip("::"));
  EXPECT_LT(ip("255.0.0.0"), ip("::"));
}

TEST(Cidr, ParsesContainsAndPrints) {
  Cidr pods = range("10.88.0.0/16");
  EXPECT_EQ(pods.to_string(), "10.88.0.0/16");
  EXPECT_EQ(pods.size(), 65536U);
  EXPECT_EQ(pods.broadcast(), ip("10.88.255.255"));
  EXPECT_TRUE(pods.contains(ip("10.88.0.0")));
  EXPECT_TRUE(pods.contains(ip("10.88.255.255")));
  EXPECT_FALSE(pods.contains(ip("10.89.0.0")));
  EXPECT_FALSE(pods.contains(ip("::a58:5")));
  EXPECT_TRUE(range("10.88.0.64/27").contains(ip("10.88.0.95")));
  EXPECT_FALSE(range("10.88.0.64/27").contains(ip("10.88.0.96")));
  EXPECT_TRUE(range("0.0.0.0/0").contains(ip("203.0.113.9")));
  EXPECT_TRUE(range("fd00:10::/64").contains(ip("fd00:10::ffff:0:0:1")));
  EXPECT_EQ(range("fd00:10::/64").size(), ~0ULL);
  EXPECT_EQ(range("fd00:10::/64").broadcast(), std::nullopt);
  EXPECT_EQ(range("10.88.0.4/31").broadcast(), std::nullopt);
  EXPECT_EQ(Cidr::of(ip("10.88.3.4"), 16).value(), pods);
  EXPECT_FALSE(Cidr::of(ip("10.88.3.4"), 33));
}

TEST(Cidr, RefusesWhatIsNoRange) {
  for (const char* text : {"", "/", "10.88.0.0", "10.88.0.0/", "10.88.0.0/33", "10.88.0.0/-1", "10.88.0.0/016",
                           "10.88.0.0/+6", "10.88.0.0/16 ", "10.88.0.0/16/8", "fd00::/129", "10.88/16"}) {
    auto parsed = Cidr::parse(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_TRUE(parsed.error().is_invalid()) << text;
  }
  EXPECT_THAT(Cidr::parse("10.88.0.1/16").error().message(), HasSubstr("write 10.88.0.0/16"));
}

}  // namespace
}  // namespace gantry::netns
