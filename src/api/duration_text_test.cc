// SPDX-License-Identifier: Apache-2.0
#include "api/duration_text.h"

#include <gtest/gtest.h>

namespace gantry::api {
namespace {

// The expected texts are what k8s.io/apimachinery's duration.HumanDuration gives.
TEST(DurationText, IsAsKubectlShowsAges) {
  EXPECT_EQ(duration_text(-2), "<invalid>");
  EXPECT_EQ(duration_text(-1), "0s");
  EXPECT_EQ(duration_text(0), "0s");
  EXPECT_EQ(duration_text(119), "119s");
  EXPECT_EQ(duration_text(120), "2m");
  EXPECT_EQ(duration_text(200), "3m20s");
  EXPECT_EQ(duration_text(600), "10m");
  EXPECT_EQ(duration_text(3 * 3600 - 1), "179m");
  EXPECT_EQ(duration_text(3 * 3600), "3h");
  EXPECT_EQ(duration_text(7 * 3600 + 1800), "7h30m");
  EXPECT_EQ(duration_text(8 * 3600), "8h");
  EXPECT_EQ(duration_text(47 * 3600), "47h");
  EXPECT_EQ(duration_text(48 * 3600), "2d");
  EXPECT_EQ(duration_text(52 * 3600), "2d4h");
  EXPECT_EQ(duration_text(int64_t{8} * 86400), "8d");
  EXPECT_EQ(duration_text(int64_t{729} * 86400), "729d");
  EXPECT_EQ(duration_text(int64_t{730} * 86400), "2y");
  EXPECT_EQ(duration_text(int64_t{3 * 365 + 40} * 86400), "3y40d");
  EXPECT_EQ(duration_text(int64_t{9 * 365 + 40} * 86400), "9y");
}

}  // namespace
}  // namespace gantry::api
