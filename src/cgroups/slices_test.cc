// SPDX-License-Identifier: Apache-2.0
#include "cgroups/slices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gantry::cgroups {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(SlicesTest, ANameSaysWhereASliceIs) {
  EXPECT_EQ(slice_path("kubepods.slice"), "/kubepods.slice");
  EXPECT_EQ(slice_path("kubepods-burstable-pod1_2.slice"),
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice");
  EXPECT_EQ(slice_path("-.slice"), "");
  EXPECT_THAT(slice_levels("a-b-c.slice"), ElementsAre("a.slice", "a-b.slice", "a-b-c.slice"));
  EXPECT_THAT(slice_levels("-.slice"), IsEmpty());
  // A dot before the suffix is nothing special, and a dash in an escape begins no part.
  EXPECT_EQ(slice_path("a.b-c\\x2dd.slice"), "/a.b.slice/a.b-c\\x2dd.slice");
}

TEST(SlicesTest, ASliceIsMeantByItsNameOrByItsPath) {
  for (const char* text : {"kubepods-besteffort.slice", "/kubepods.slice/kubepods-besteffort.slice"}) {
    EXPECT_EQ(parse_slice(text).value_or(""), "kubepods-besteffort.slice") << text;
  }
  EXPECT_EQ(parse_slice("-.slice").value_or(""), "-.slice");
  EXPECT_EQ(slice_part("0c5e-11-f"), "0c5e_11_f");
}

TEST(SlicesTest, WhatNoSliceIsCalledIsRefused) {
  for (std::string text :
       {"", "/", "kubepods", "/kubepods/besteffort", ".slice", "-a.slice", "a-.slice", "a--b.slice", "a b.slice",
        "a.slice/", "a@1.slice", "a\n.slice", "\xc3\xa4.slice", "a.service", "/system.slice/a.scope"}) {
    auto slice = parse_slice(text);
    ASSERT_FALSE(slice) << text;
    EXPECT_TRUE(slice.error().is_invalid());
    EXPECT_THAT(slice.error().message(), HasSubstr("give a slice of systemd")) << text;
  }
  EXPECT_FALSE(parse_slice(std::string(250, 'a') + ".slice"));
  EXPECT_FALSE(parse_slice("a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a.slice"));
  EXPECT_TRUE(parse_slice("a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a.slice"));
}

TEST(SlicesTest, APathThatIsNotTheSlicesOwnIsRefused) {
  for (const char* text : {"/kubepods-besteffort.slice", "kubepods.slice/kubepods-besteffort.slice", "//kubepods.slice",
                           "/../kubepods.slice", "/machine.slice/kubepods.slice", "/-.slice"}) {
    auto slice = parse_slice(text);
    ASSERT_FALSE(slice) << text;
    EXPECT_THAT(slice.error().message(), HasSubstr("systemd has this slice at")) << text;
  }
}

}  // namespace
}  // namespace gantry::cgroups
