// SPDX-License-Identifier: Apache-2.0
#include "images/registry/image_glob.h"

#include <gtest/gtest.h>

namespace gantry::images {
namespace {

TEST(ImageGlob, WhatMeansNothingIsLeftOut) {
  EXPECT_EQ(normal_pattern("https://index.docker.io/v1/"), "index.docker.io");
  EXPECT_EQ(normal_pattern("http://a.example:5000/"), "a.example:5000");
  EXPECT_EQ(normal_pattern("a.example/v2/team"), "a.example/team");
  EXPECT_EQ(normal_pattern("a.example/v2"), "a.example/v2");
  EXPECT_EQ(normal_pattern("a.example/v1/"), "a.example");
  EXPECT_EQ(normal_pattern(""), "");
}

TEST(ImageGlob, PiecesOfHosts) {
  EXPECT_TRUE(matches_image("a.example", "a.example/app"));
  EXPECT_FALSE(matches_image("a.example", "b.a.example/app"));
  EXPECT_FALSE(matches_image("a.example", "a.example.org/app"));
  EXPECT_TRUE(matches_image("*.example", "a.example/app"));
  EXPECT_FALSE(matches_image("*.example", "b.a.example/app"));
  EXPECT_FALSE(matches_image("*", "a.example/app"));
  EXPECT_TRUE(matches_image("*.*", "a.example/app"));
  EXPECT_TRUE(matches_image("a*.ex?mple", "abc.example/app"));
  EXPECT_TRUE(matches_image("[a-c].example", "b.example/app"));
  EXPECT_FALSE(matches_image("[a-c.example", "b.example/app"));
  EXPECT_FALSE(matches_image("", "a.example/app"));
  EXPECT_FALSE(matches_image("a.example.", "a.example/app"));
}

TEST(ImageGlob, PortsAndPaths) {
  EXPECT_TRUE(matches_image("a.example:5000", "a.example:5000/app"));
  EXPECT_FALSE(matches_image("a.example", "a.example:5000/app"));
  EXPECT_FALSE(matches_image("a.example:*", "a.example:5000/app"));
  EXPECT_TRUE(matches_image("a.example/team", "a.example/team/app"));
  EXPECT_TRUE(matches_image("a.example/team", "a.example/teamwork/app"));
  EXPECT_FALSE(matches_image("a.example/team/", "a.example/teamwork/app"));
  EXPECT_FALSE(matches_image("a.example/team/app", "a.example/team"));
}

}  // namespace
}  // namespace gantry::images
