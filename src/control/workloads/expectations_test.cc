// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/expectations.h"

#include <gtest/gtest.h>

namespace gantry::control::workloads {
namespace {

constexpr Duration kStart = std::chrono::hours(1);

TEST(ExpectationsTest, AreMetWhenSeen) {
  Expectations expected;
  EXPECT_TRUE(expected.is_settled("rs"));
  expected.expect_made("rs", "default/a", kStart);
  expected.expect_gone("rs", "uid-b", kStart);
  expected.expect_made("other", "default/c", kStart);
  EXPECT_FALSE(expected.is_settled("rs"));
  EXPECT_EQ(expected.forget_made("default/a"), "rs");
  EXPECT_FALSE(expected.is_settled("rs"));
  EXPECT_TRUE(expected.is_removed("uid-b"));
  EXPECT_EQ(expected.forget_gone("uid-b"), "rs");
  EXPECT_TRUE(expected.is_settled("rs"));
  EXPECT_EQ(expected.forget_made("default/a"), "");
  EXPECT_FALSE(expected.is_settled("other"));
}

TEST(ExpectationsTest, AreGivenUpInTime) {
  Expectations expected;
  expected.expect_made("rs", "default/a", kStart);
  expected.expect_gone("late", "uid-b", kStart + Duration(1));
  EXPECT_TRUE(expected.expire(kStart + Expectations::kPatience - Duration(1)).empty());
  EXPECT_EQ(expected.expire(kStart + Expectations::kPatience), std::set<std::string>{"rs"});
  EXPECT_TRUE(expected.is_settled("rs"));
  EXPECT_FALSE(expected.is_settled("late"));
}

TEST(ExpectationsTest, GoWithTheirOwner) {
  Expectations expected;
  expected.expect_made("rs", "default/a", kStart);
  expected.expect_gone("rs", "uid-b", kStart);
  expected.forget_owner("rs");
  EXPECT_TRUE(expected.is_settled("rs"));
  EXPECT_FALSE(expected.is_made("default/a"));
}

}  // namespace
}  // namespace gantry::control::workloads
