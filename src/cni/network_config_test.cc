// SPDX-License-Identifier: Apache-2.0
#include "cni/network_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "api/json.h"

namespace gantry::cni {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string refusal(const Result<NetworkConfig>& config) { return config ? "taken" : config.error().message(); }

class FolderTest : public ::testing::Test {
 protected:
  FolderTest() {
    char path[] = "/tmp/gantry-cni-XXXXXX";
    folder_ = ::mkdtemp(path);
  }
  ~FolderTest() override { fs::remove_all(folder_); }
  void write(const std::string& name, std::string_view text) {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name) << text;
  }
  Result<NetworkConfig> read() { return read_network_config(folder_.string()); }
  fs::path folder_;
};

TEST(NetworkConfigTest, AListIsReadWithWhatItSaysOfItself) {
  auto config =
      parse_network_list(R"({"cniVersion": "0.4.0", "cniVersions": ["1.1.0", "0.4.0", "7.0.0"], "name": "pods",
    "disableCheck": "true", "disableGC": true,
    "plugins": [{"type": "bridge", "mtu": 1400}, {"type": "portmap", "capabilities": {"portMappings": true, "x": false}}]})");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->name, "pods");
  EXPECT_THAT(config->versions, ElementsAre(Version::k0_4_0, Version::k1_1_0));
  EXPECT_TRUE(config->disable_check);
  EXPECT_TRUE(config->disable_gc);
  EXPECT_FALSE(config->only_inlined);
  ASSERT_EQ(config->plugins.size(), 2U);
  EXPECT_EQ(config->plugins[0].type, "bridge");
  EXPECT_THAT(config->plugins[1].capabilities, ElementsAre("portMappings"));
}

TEST(NetworkConfigTest, WhatIsWrongIsSaidByItsField) {
  EXPECT_THAT(refusal(parse_network_list("{")), HasSubstr("line 1"));
  EXPECT_THAT(refusal(parse_network_list("[]")), HasSubstr("a list: an object was expected"));
  EXPECT_THAT(refusal(parse_network_list(R"({"name": "../up"})")),
              AllOf(HasSubstr("name: \"../up\""), HasSubstr("expected")));
  EXPECT_THAT(refusal(parse_network_list("{}")), HasSubstr("name: \"\" is wrong"));
  EXPECT_THAT(refusal(parse_network_list(R"({"name": "a", "cniVersion": "2.0.0"})")),
              HasSubstr("\"2.0.0\" is not supported"));
  EXPECT_THAT(refusal(parse_network_list(R"({"name": "a", "cniVersions": "1.0.0"})")),
              HasSubstr("cniVersions: string"));
  EXPECT_THAT(refusal(parse_network_list(R"({"name": "a", "plugins": {}})")), HasSubstr("plugins: an object is wrong"));
  EXPECT_THAT(refusal(parse_network_list(R"({"name": "a", "plugins": [{"type": "x"}, 5]})")),
              HasSubstr("plugins[1]: integer 5"));
  EXPECT_THAT(refusal(parse_network_list(R"({"name": "a", "plugins": [{"type": "../x"}]})")),
              HasSubstr("plugins[0]: type: \"../x\""));
  EXPECT_THAT(refusal(parse_network_list(R"({"name": "a", "plugins": [{}]})")), HasSubstr("plugins[0]: type: \"\""));
  EXPECT_THAT(refusal(parse_network_list(R"({"name": "a", "disableCheck": 1})")), HasSubstr("disableCheck: integer 1"));
  EXPECT_THAT(refusal(parse_network_list(R"({"name": "a", "plugins": [{"type": "x", "capabilities": {"dns": 1}}]})")),
              HasSubstr("capabilities.dns: integer 1"));
  EXPECT_THAT(refusal(parse_single_network(R"({"name": "a", "plugins": []})")), HasSubstr("a .conflist file's"));
}

TEST(NetworkConfigTest, NoVersionIsTheFirst) {
  auto config = parse_network_list(R"({"name": "a"})");
  ASSERT_TRUE(config);
  EXPECT_THAT(config->versions, ElementsAre(Version::k0_1_0));
  auto many = parse_network_list(R"({"name": "a", "cniVersions": ["1.0.0"]})");
  ASSERT_TRUE(many);
  EXPECT_THAT(many->versions, ElementsAre(Version::k1_0_0));
}

TEST(NetworkConfigTest, APluginReadsItsOwnWithTheListsNameAndVersionAndWhatItWantsToBeTold) {
  auto config = parse_network_list(R"({"cniVersion": "1.0.0", "name": "pods", "plugins": [
    {"type": "portmap", "name": "other", "cniVersion": "0.2.0", "snat": true, "big": 12345678901234567890, "prevResult": {},
     "cni.dev/valid-attachments": [], "runtimeConfig": {"dns": {}}, "capabilities": {"portMappings": true, "bandwidth": true}}]})");
  ASSERT_TRUE(config) << config.error().message();
  auto told = api::parse_json(R"({"portMappings": [{"hostPort": 80}], "dns": {"servers": ["1.1.1.1"]}})");
  auto previous = api::parse_json(R"({"ips": []})");
  EXPECT_EQ(api::write_json(plugin_request(*config, config->plugins[0], Version::k1_1_0, *told, &*previous)),
            R"({"type":"portmap","snat":true,"big":12345678901234567890,"cniVersion":"1.1.0","name":"pods",)"
            R"("runtimeConfig":{"portMappings":[{"hostPort":80}]},"prevResult":{"ips":[]}})");
  EXPECT_EQ(api::write_json(plugin_request(*config, config->plugins[0], Version::k1_0_0,
                                           api::Value(api::Value::Object()), nullptr)),
            R"({"type":"portmap","snat":true,"big":12345678901234567890,"cniVersion":"1.0.0","name":"pods"})");
}

TEST(NetworkConfigTest, ItsTextIsReadAsTheSame) {
  auto config = parse_network_list(R"({"cniVersions": ["1.0.0", "1.1.0"], "name": "pods", "disableCheck": true,
    "plugins": [{"type": "a", "capabilities": {"dns": true}}]})");
  ASSERT_TRUE(config);
  auto again = parse_network_list(network_text(*config, Version::k1_0_0));
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->name, "pods");
  EXPECT_THAT(again->versions, ElementsAre(Version::k1_0_0));
  EXPECT_TRUE(again->disable_check);
  EXPECT_FALSE(again->disable_gc);
  EXPECT_TRUE(again->only_inlined);
  ASSERT_EQ(again->plugins.size(), 1U);
  EXPECT_THAT(again->plugins[0].capabilities, ElementsAre("dns"));
}

TEST_F(FolderTest, TheFirstFileCounts) {
  EXPECT_TRUE(read().error().is_not_found());
  fs::remove(folder_);
  EXPECT_TRUE(read().error().is_not_found());
  write("README", "no");
  write("20-b.conflist", R"({"name": "b", "cniVersion": "1.0.0", "plugins": [{"type": "x"}]})");
  EXPECT_EQ(read()->name, "b");
  write("10-a.json", R"({"name": "a", "cniVersion": "0.3.1", "type": "single"})");
  auto single = read();
  ASSERT_TRUE(single) << single.error().message();
  EXPECT_EQ(single->name, "a");
  ASSERT_EQ(single->plugins.size(), 1U);
  EXPECT_EQ(single->plugins[0].type, "single");
  write("05-wrong.conflist", "{");
  EXPECT_THAT(refusal(read()), AllOf(HasSubstr("05-wrong.conflist"), HasSubstr("line 1")));
}

TEST_F(FolderTest, PluginsOfAFolderComeAfterThoseOfTheFile) {
  write("10.conflist", R"({"name": "pods", "cniVersion": "1.1.0", "plugins": [{"type": "first"}]})");
  write("pods/2.conf", R"({"type": "third"})");
  write("pods/1.conf", R"({"type": "second"})");
  write("pods/0.json", R"({"type": "no"})");
  auto config = read();
  ASSERT_TRUE(config) << config.error().message();
  std::vector<std::string> types;
  for (const auto& plugin : config->plugins) types.push_back(plugin.type);
  EXPECT_THAT(types, ElementsAre("first", "second", "third"));
  write("pods/3.conf", "{}");
  EXPECT_THAT(refusal(read()), AllOf(HasSubstr("pods/3.conf"), HasSubstr("type")));
  write("10.conflist", R"({"name": "pods", "loadOnlyInlinedPlugins": true, "plugins": [{"type": "first"}]})");
  EXPECT_EQ(read()->plugins.size(), 1U);
  write("10.conflist", R"({"name": "empty"})");
  EXPECT_THAT(refusal(read()), HasSubstr("plugins: has none"));
}

}  // namespace
}  // namespace gantry::cni
