// SPDX-License-Identifier: Apache-2.0
#include "images/registry/origin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace gantry::images
