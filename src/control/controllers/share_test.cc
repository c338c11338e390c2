// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/share.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

namespace gantry::control {
namespace {

k8s::io::apimachinery::pkg::util::intstr::IntOrString text(const char* value) {
  k8s::io::apimachinery::pkg::util::intstr::IntOrString share;
  share.set_type(1);
  share.set_str_val(value);
  return share;
}

TEST(Share, IsANumberOrAPercentage) {
  k8s::io::apimachinery::pkg::util::intstr::IntOrString three;
  three.set_int_val(3);
  EXPECT_EQ(amount_of(three, 10, Rounding::kDown), 3);
  EXPECT_EQ(amount_of(text("25%"), 10, Rounding::kDown), 2);
  EXPECT_EQ(amount_of(text("25%"), 10, Rounding::kUp), 3);
  EXPECT_EQ(amount_of(text("100%"), 7, Rounding::kDown), 7);
  EXPECT_EQ(amount_of(text("0%"), 7, Rounding::kUp), 0);
}

TEST(Share, OfNonsenseIsNothing) {
  for (const char* nonsense : {"", "%", "25", "x%", "-1%", "99999999999999999999%", "9999999999%", "5%%"}) {
    EXPECT_EQ(amount_of(text(nonsense), 10, Rounding::kUp), 0) << nonsense;
  }
}

TEST(Share, BeyondAllIsTheMostThereCanBe) {
  EXPECT_EQ(amount_of(text("999999999%"), 300, Rounding::kUp), std::numeric_limits<std::int32_t>::max());
}

}  // namespace
}  // namespace gantry::control
