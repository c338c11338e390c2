// SPDX-License-Identifier: Apache-2.0
#include "images/registry/origin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace gantry::images {
namespace {

TEST(OriginTest, SchemeHostAndPortMakeOne) {
  auto origin = origin_of("https://Registry.Example/v2/a?b#c");
  ASSERT_TRUE(origin) << origin.error().message();
  EXPECT_EQ(*origin, (Origin{"https", "registry.example", "443"}));
  EXPECT_EQ(origin->name(), "registry.example");
  EXPECT_EQ(*origin_of("https://registry.example:443"), *origin);
  EXPECT_NE(*origin_of("http://registry.example:443"), *origin);
  EXPECT_NE(*origin_of("https://registry.example:444"), *origin);
  EXPECT_EQ(origin_of("http://[::1]:5000/x")->url(), "http://[::1]:5000");
  for (const char* text :
       {"", "registry.example", "ftp://a/", "file:///etc/passwd", "https://", "https://a:b@c/", "http://a b/"})
    EXPECT_FALSE(origin_of(text)) << text;
}

TEST(OriginTest, LocationsAreResolved) {
  const std::string base = "https://a.example/v2/x/blobs/1?q#f";
  EXPECT_EQ(*resolve_url(base, "/y"), "https://a.example/y");
  EXPECT_EQ(*resolve_url(base, "2"), "https://a.example/v2/x/blobs/2");
  EXPECT_EQ(*resolve_url(base, "//b.example/z#g"), "https://b.example/z");
  EXPECT_EQ(*resolve_url(base, "http://c.example:81/"), "http://c.example:81/");
  EXPECT_FALSE(resolve_url(base, ""));
  EXPECT_FALSE(resolve_url(base, std::string(20000, 'a')));
}

TEST(OriginTest, PlainHttpIsForLoopbackAndForWhatIsSaidToBe) {
  RegistrySettings settings{{"plain.example:5000"}, ""};
  EXPECT_EQ(registry_origin(settings, "registry.example")->url(), "https://registry.example");
  EXPECT_EQ(registry_origin(settings, "registry.example:5000")->url(), "https://registry.example:5000");
  EXPECT_EQ(registry_origin(settings, "plain.example:5000")->url(), "http://plain.example:5000");
  EXPECT_EQ(registry_origin(settings, "127.0.0.1:5000")->url(), "http://127.0.0.1:5000");
  EXPECT_EQ(registry_origin(settings, "[::1]:5000")->url(), "http://[::1]:5000");
  EXPECT_EQ(registry_origin(settings, "localhost:5000")->url(), "http://localhost:5000");
  EXPECT_EQ(registry_origin(settings, "localhost:443")->url(), "https://localhost");
  EXPECT_EQ(registry_origin(settings, "127.example.com:5000")->url(), "https://127.example.com:5000");
}

TEST(OriginTest, AFolderSaysWhomToTrust) {
  char folder[] = "/tmp/origin-test-XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  std::filesystem::create_directory(std::string(folder) + "/127.0.0.1:5000");
  std::ofstream(std::string(folder) + "/127.0.0.1:5000/ca.crt") << "x";
  RegistrySettings settings{{}, folder};
  EXPECT_EQ(registry_origin(settings, "127.0.0.1:5000")->url(), "https://127.0.0.1:5000");
  EXPECT_EQ(trust_files(settings, *origin_of("https://127.0.0.1:5000")).authorities,
            std::string(folder) + "/127.0.0.1:5000/ca.crt");
  EXPECT_EQ(trust_files(settings, *origin_of("https://127.0.0.1:5000")).key, "");
  EXPECT_EQ(trust_files(settings, *origin_of("https://127.0.0.1:5001")).authorities, "");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace gantry::images
