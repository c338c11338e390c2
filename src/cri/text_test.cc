// SPDX-License-Identifier: Apache-2.0
#include "cri/text.h"

#include <gtest/gtest.h>

namespace gantry::cri {
namespace {

TEST(Text, Pieces) {
  EXPECT_EQ(split("a//b", '/'), (std::vector<std::string_view>{"a", "", "b"}));
  EXPECT_EQ(split("", '/'), (std::vector<std::string_view>{""}));
  EXPECT_EQ(replaced("RTMIN+3", "+", "PLUS"), "RTMINPLUS3");
  EXPECT_EQ(without_prefix("SIGNAL_X", "SIGNAL_"), "X");
  EXPECT_EQ(without_suffix("/a/", "/"), "/a");
  EXPECT_EQ(joined(std::vector<std::string>{"a", "b"}, ", "), "a, b");
  EXPECT_TRUE(is_plain("net.core_x-1", "._-"));
  EXPECT_FALSE(is_plain("net core", "._-"));
}

}  // namespace
}  // namespace gantry::cri
