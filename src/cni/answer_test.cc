// SPDX-License-Identifier: Apache-2.0
#include "cni/answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/json.h"

namespace gantry::cni {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> addresses(std::string_view text, Version version = Version::k1_1_0) {
  auto result = parse_result(text, version, "eth0");
  if (!result) return {"refused: " + result.error().message()};
  std::vector<std::string> texts;
  for (const auto& address : result->addresses) texts.push_back(address.to_string());
  return texts;
}

std::string refusal(std::string_view text) { return addresses(text).at(0); }

TEST(AnswerTest, AddressesAreThoseOfThePodsInterface) {
  EXPECT_THAT(addresses(R"({"cniVersion": "1.1.0",
    "interfaces": [{"name": "cni0"}, {"name": "eth0", "sandbox": "/run/netns/x", "mtu": 1400}, {"name": "net1", "sandbox": "/x"}],
    "ips": [{"address": "fd00::5/64", "interface": 1}, {"address": "10.0.0.1/24", "interface": 0},
            {"address": "10.0.0.5/24", "interface": 1, "gateway": "10.0.0.1"}, {"address": "10.9.0.1/24", "interface": 2}]})"),
              ElementsAre("fd00::5", "10.0.0.5"));
  // Of no interface in particular, and without a version.
  EXPECT_THAT(addresses(R"({"ips": [{"version": "4", "address": "10.0.0.5/24"}]})", Version::k0_3_1),
              ElementsAre("10.0.0.5"));
  EXPECT_THAT(addresses("{}"), IsEmpty());
  EXPECT_THAT(addresses(R"({"ip4": {"ip": "10.0.0.5/24"}, "ip6": {"ip": "fd00::5/64"}})", Version::k0_2_0),
              ElementsAre("10.0.0.5", "fd00::5"));
}

TEST(AnswerTest, TheResultGoesOnAsItCameWithItsVersion) {
  auto result = parse_result(R"({"ips": [], "own": {"x": 1.50}})", Version::k1_0_0, "eth0");
  ASSERT_TRUE(result);
  EXPECT_EQ(api::write_json(result->json), R"({"ips":[],"own":{"x":1.50},"cniVersion":"1.0.0"})");
}

TEST(AnswerTest, WhatIsNoResultIsRefused) {
  EXPECT_THAT(refusal(""), HasSubstr("it printed nothing"));
  EXPECT_THAT(refusal("Segmentation fault"), HasSubstr("line 1"));
  EXPECT_THAT(refusal("[]"), HasSubstr("a list: an object was expected"));
  EXPECT_THAT(refusal(R"({"cniVersion": "1.0.0"})"), HasSubstr("cniVersion: string \"1.0.0\" is wrong: 1.1.0"));
  EXPECT_THAT(refusal(R"({"ips": {}})"), HasSubstr("ips: an object is wrong"));
  EXPECT_THAT(refusal(R"({"ips": [{"address": "10.0.0.5"}]})"), HasSubstr("ips[0].address: string \"10.0.0.5\""));
  EXPECT_THAT(refusal(R"({"ips": [{"address": "10.0.0.5/33"}]})"), HasSubstr("ips[0].address"));
  EXPECT_THAT(refusal(R"({"ips": [{"address": "10.0.0.5/8x"}]})"), HasSubstr("ips[0].address"));
  EXPECT_THAT(refusal(R"({"ips": [7]})"), HasSubstr("ips[0].address: nothing"));
  EXPECT_THAT(refusal(R"({"ips": [{"address": "10.0.0.5/8", "interface": 3}]})"),
              HasSubstr("ips[0].interface: integer 3"));
  EXPECT_THAT(refusal(R"({"ips": [{"address": "10.0.0.5/8", "interface": -1}]})"), HasSubstr("ips[0].interface"));
  std::string many = R"({"ips": [)";
  for (int i = 0; i < 65; ++i) many += std::string(i ? "," : "") + R"({"address": "10.0.0.5/8"})";
  EXPECT_THAT(refusal(many + "]}"), HasSubstr("more than the 64 addresses"));
  EXPECT_THAT(refusal(std::string(100, '[')), HasSubstr("32"));
}

TEST(AnswerTest, AnErrorHasACodeOrWords) {
  auto error = parse_plugin_error(R"({"cniVersion": "1.0.0", "code": 11, "msg": "later", "details": "no lease"})");
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, 11U);
  EXPECT_EQ(error->message, "later");
  EXPECT_EQ(error->details, "no lease");
  EXPECT_TRUE(parse_plugin_error(R"({"msg": "x"})"));
  EXPECT_FALSE(parse_plugin_error("{}"));
  EXPECT_FALSE(parse_plugin_error("panic: x"));
  EXPECT_FALSE(parse_plugin_error(""));
}

TEST(AnswerTest, VersionsAreThoseThatAreKnown) {
  EXPECT_THAT(*parse_versions(R"({"cniVersion": "1.1.0", "supportedVersions": ["1.1.0", "0.4.0", "9.0.0", 4]})"),
              ElementsAre(Version::k0_4_0, Version::k1_1_0));
  EXPECT_THAT(*parse_versions(R"({"cniVersion": "0.2.0"})"), ElementsAre(Version::k0_1_0, Version::k0_2_0));
  EXPECT_FALSE(parse_versions("garbage"));
  EXPECT_FALSE(parse_versions(R"({"supportedVersions": "1.0.0"})"));
}

}  // namespace
}  // namespace gantry::cni
