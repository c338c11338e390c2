// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/index_set.h"

#include <gtest/gtest.h>

namespace gantry::control::workloads {
namespace {

std::string again(std::string_view text, std::int32_t end = 100) { return IndexSet::parse(text, end).to_string(); }

TEST(IndexSet, IsWrittenAsUpstreamWritesIt) {
  EXPECT_EQ(again(""), "");
  EXPECT_EQ(again("0"), "0");
  EXPECT_EQ(again("1,3-5,7"), "1,3-5,7");
  EXPECT_EQ(again("1,2"), "1,2");
  EXPECT_EQ(again("1-2"), "1,2");
  EXPECT_EQ(again("1,2,3"), "1-3");
  EXPECT_EQ(again("0-2147483647", 2147483647), "0-2147483646");
}

TEST(IndexSet, WhatIsBeyondTheEndOrNoIndexIsLeftOut) {
  EXPECT_EQ(again("1,3-8,20", 5), "1,3,4");
  EXPECT_EQ(again("1,x,3"), "1");
  EXPECT_EQ(again("5-3"), "");
  EXPECT_EQ(again("-3"), "");
  EXPECT_EQ(again("3-"), "");
  EXPECT_EQ(again("99999999999"), "");
}

TEST(IndexSet, GrowsAndCounts) {
  IndexSet set = IndexSet::parse("1,5-7", 100);
  EXPECT_EQ(set.count(), 4);
  EXPECT_TRUE(set.contains(6));
  EXPECT_FALSE(set.contains(0));
  EXPECT_FALSE(set.contains(8));
  set.add(std::vector<std::int32_t>{8, 0, 3, 5});
  EXPECT_EQ(set.to_string(), "0,1,3,5-8");
  set.add(IndexSet::parse("2,4", 100));
  EXPECT_EQ(set.to_string(), "0-8");
  EXPECT_EQ(set.count(), 9);
}

}  // namespace
}  // namespace gantry::control::workloads
