// SPDX-License-Identifier: Apache-2.0
#include "images/registry/hosts_file.h"

#include <gmock/gmock.h>

namespace gantry::images {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(HostsFileTest, AllOfIt) {
  auto entries = parse_hosts_file(R"(
server = "https://registry.example"
ca = "own.crt"
[header]
x-own = "1"
[host."https://z-first.example:5000/prefix"]
capabilities = ["Pull"]
ca = ["/a.crt", "b.crt"]
client = [["c.cert", "c.key"]]
override_path = true
dial_timeout = "1.5s"
[host."https://z-first.example:5000/prefix".header]
x-a = ["1", "two"]
[host."http://a-second.example"]
capabilities = ["pull", "resolve", "push"]
skip_verify = true
client = "both.pem"
proxy = "http://proxy.example:3128"
)");
  ASSERT_TRUE(entries) << entries.error().message();
  ASSERT_EQ(entries->size(), 3U);
  const HostEntry& first = (*entries)[0];
  EXPECT_EQ(first.url, "https://z-first.example:5000/prefix");
  EXPECT_TRUE(first.pulls);
  EXPECT_FALSE(first.resolves);
  EXPECT_THAT(first.authorities, ElementsAre("/a.crt", "b.crt"));
  EXPECT_EQ(first.certificate, "c.cert");
  EXPECT_EQ(first.key, "c.key");
  EXPECT_TRUE(first.verify);
  EXPECT_TRUE(first.override_path);
  EXPECT_EQ(first.dial_timeout, std::chrono::milliseconds(1500));
  EXPECT_THAT(first.headers, ElementsAre("x-a: 1", "x-a: two"));
  const HostEntry& second = (*entries)[1];
  EXPECT_EQ(second.url, "http://a-second.example");
  EXPECT_TRUE(second.pulls && second.resolves);
  EXPECT_FALSE(second.verify);
  EXPECT_EQ(second.certificate, "both.pem");
  EXPECT_EQ(second.proxy, "http://proxy.example:3128");
  const HostEntry& server = (*entries)[2];
  EXPECT_EQ(server.url, "https://registry.example");
  EXPECT_THAT(server.authorities, ElementsAre("own.crt"));
  EXPECT_THAT(server.headers, ElementsAre("x-own: 1"));
}

TEST(HostsFileTest, AnEmptyOneIsTheRegistryItself) {
  auto entries = parse_hosts_file("");
  ASSERT_TRUE(entries);
  ASSERT_EQ(entries->size(), 1U);
  EXPECT_EQ((*entries)[0].url, "");
  EXPECT_TRUE((*entries)[0].pulls && (*entries)[0].resolves && (*entries)[0].verify);
}

TEST(HostsFileTest, WhatIsNotUnderstoodIsAnError) {
  const std::pair<std::string, std::string> cases[] = {
      {"server = 1", "\"server\": expected a text"},
      {"servre = \"a\"", "\"servre\": there is no such key"},
      {"a = = b", "line 1"},
      {"a = 1\n[ = 2", "line 2"},
      {"[[ = 2", "line 1"},
      {"\u03d7 4ms", "line 1"},
      {"a = t\x7f", R"(saw 't\x7f')"},
      {"host = 1", "\"host\": expected a table"},
      {"[host]\nx = 1", "host \"x\""},
      {"[host.\"https://a\"]\nserver = \"b\"", "host \"https://a\": \"server\": there is no such key"},
      {"capabilities = [\"fetch\"]", "\"fetch\", expected pull, resolve or push"},
      {"capabilities = [1]", "\"capabilities\""},
      {"ca = {}", "\"ca\""},
      {"ca = [[\"a\"]]", "\"ca\""},
      {"client = [\"a\", \"b\"]", "only one"},
      {"client = [[\"a\"]]", "its key's"},
      {"client = [[\"a\", 1]]", "its key's"},
      {"skip_verify = \"true\"", "true or false"},
      {"header = {\"a b\" = \"c\"}", "no header's name"},
      {"header = {a = \"b\\r\\nc: d\"}", "control characters"},
      {"dial_timeout = \"soon\"", "expected a duration"},
      {"dial_timeout = \"0s\"", "expected from 1ms"},
      {"dial_timeout = \"25h\"", "expected from 1ms"},
      {std::string(300'000, ' '), "are allowed"},
      {"a = " + std::string(1000, '[') + std::string(1000, ']'), "line 1"},
  };
  for (const auto& [text, part] : cases) {
    auto entries = parse_hosts_file(text);
    ASSERT_FALSE(entries) << text.substr(0, 100);
    EXPECT_TRUE(entries.error().is_invalid());
    EXPECT_THAT(entries.error().message(), HasSubstr(part)) << text.substr(0, 100);
  }
}

}  // namespace
}  // namespace gantry::images
