// SPDX-License-Identifier: Apache-2.0
#include "control/plane/settings.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "base/text.h"
#include "control/plane/config_file.h"

namespace gantry::control {
namespace {

Result<PlaneOptions> read(const SettingValues& values) {
  return read_settings(values, [](const Setting& setting) { return cat("--", setting.flag); });
}

std::string error_of(const SettingValues& values) {
  Result<PlaneOptions> options = read(values);
  return options ? "" : options.error().message();
}

std::string error_of_file(std::string_view text) {
  Result<SettingValues> values = parse_config(text);
  return values ? "" : values.error().message();
}

TEST(SettingsTest, WithoutAnyEachHasItsFallback) {
  Result<PlaneOptions> options = read({});
  ASSERT_TRUE(options) << options.error().message();
  EXPECT_EQ(options->listen.port, 6443);
  EXPECT_EQ(to_string(options->service_networks.at(0)), "10.96.0.0/12");
  EXPECT_TRUE(options->store.etcd_endpoints.empty());
}

TEST(SettingsTest, ValuesAreRead) {
  Result<PlaneOptions> options = read({{"listen", {"[::1]:8443"}},
                                       {"store", {"etcd:https://a:2379", "https://b:2379"}},
                                       {"serviceCIDR", {"10.0.0.0/16", "fd00::/108"}}});
  ASSERT_TRUE(options) << options.error().message();
  EXPECT_EQ(options->listen.host, "::1");
  EXPECT_EQ(options->listen.port, 8443);
  EXPECT_EQ(options->store.etcd_endpoints, (std::vector<std::string>{"https://a:2379", "https://b:2379"}));
  EXPECT_EQ(options->service_networks.size(), 2U);
}

TEST(SettingsTest, AnEndpointIsAHostAndMayHaveAPort) {
  const auto endpoint = [](const std::string& text) { return read({{"controlPlaneEndpoint", {text}}})->endpoint; };
  EXPECT_EQ(endpoint("cluster.example.org").host, "cluster.example.org");
  EXPECT_EQ(endpoint("cluster.example.org").port, 0);
  EXPECT_EQ(endpoint("192.0.2.1:443").port, 443);
  EXPECT_EQ(endpoint("[fd00::1]:443").host, "fd00::1");
  EXPECT_EQ(endpoint("[fd00::1]").host, "fd00::1");
  for (const char* wrong : {"fd00::1", "a_b", "host:", "host:x", "https://host", "[host]:1"}) {
    EXPECT_NE(error_of({{"controlPlaneEndpoint", {wrong}}}), "") << wrong;
  }
}

TEST(SettingsTest, AWrongValueIsNamedWithWhatWasExpected) {
  EXPECT_EQ(error_of({{"listen", {"nowhere"}}}), "--listen is \"nowhere\"; expected ADDRESS:PORT");
  EXPECT_NE(error_of({{"listen", {"::1:6443"}}}), "");
  EXPECT_NE(error_of({{"listen", {"1.2.3.4:66666"}}}), "");
  EXPECT_NE(error_of({{"listen", {"1.2.3.4:1", "1.2.3.4:2"}}}), "");
  EXPECT_NE(error_of({{"store", {"etcd:a:2379"}}}), "");
  EXPECT_NE(error_of({{"store", {"sqlite:"}}}), "");
  EXPECT_NE(error_of({{"store", {}}}), "");
  EXPECT_NE(error_of({{"serviceCIDR", {"10.0.0.0/16", "10.1.0.0/16"}}}), "");
  EXPECT_NE(error_of({{"clusterCIDR", {"10.0.0.0/30"}}}), "");
}

TEST(SettingsTest, ControllersAreNamedAsUpstreams) {
  EXPECT_TRUE(read({{"controllers", {"*", "-garbage-collector-controller"}}}));
  EXPECT_TRUE(read({{"controllers", {"-*"}}}));
  const std::string error = error_of({{"controllers", {"*", "-garbage-collector"}}});
  EXPECT_TRUE(error.starts_with("--controllers is \"*,-garbage-collector\"; expected *, ")) << error;
  EXPECT_TRUE(error.contains(" garbage-collector-controller,")) << error;
}

TEST(ConfigFileTest, ScalarsAndLists) {
  Result<SettingValues> values = parse_config("listen: 127.0.0.1:7000\nserviceCIDR: [10.0.0.0/16, 'fd00::/108']\n");
  ASSERT_TRUE(values) << values.error().message();
  EXPECT_EQ(values->at("listen"), std::vector<std::string>{"127.0.0.1:7000"});
  EXPECT_EQ(values->at("serviceCIDR").size(), 2U);
  EXPECT_EQ(parse_config("# nothing\n").value().size(), 0U);
}

TEST(ConfigFileTest, MistakesAreNamed) {
  EXPECT_TRUE(
      error_of_file("dataDir: /x\nlisten_on: y\n").starts_with("\"listen_on\" (line 2) is unknown; there are: "));
  EXPECT_EQ(error_of_file("listen: [a]\n"), R"(listen is "[\"a\"]"; expected ADDRESS:PORT)");
  EXPECT_NE(error_of_file("listen: {a: b}\n"), "");
  EXPECT_NE(error_of_file("serviceCIDR: [[a]]\n"), "");
  EXPECT_EQ(error_of_file("listen: a\nlisten: b\n"), "listen is there twice (line 2)");
  EXPECT_NE(error_of_file("- a\n"), "");
  EXPECT_NE(error_of_file("a: b\n---\na: b\n"), "");
  EXPECT_NE(error_of_file("a: [\n"), "");
}

TEST(SettingsTest, AllAreInTheManual) {
  std::ifstream file(GANTRY_SOURCE_DIR "/docs/control-plane.md");
  std::stringstream text;
  text << file.rdbuf();
  for (const Setting& setting : settings()) {
    const std::string row = cat("| `--", setting.flag, "` | `", setting.field, "` |");
    EXPECT_NE(text.str().find(row), std::string::npos) << "docs/control-plane.md has no row " << row;
  }
}

}  // namespace
}  // namespace gantry::control
