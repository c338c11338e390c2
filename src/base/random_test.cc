// SPDX-License-Identifier: Apache-2.0
#include "base/random.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

TEST(Random, HexDigits) {
  auto one = random_hex(16), other = random_hex(16);
  ASSERT_TRUE(one && other);
  EXPECT_EQ(one->size(), 32U);
  EXPECT_EQ(one->find_first_not_of("0123456789abcdef"), one->npos);
  EXPECT_NE(*one, *other);
  EXPECT_EQ(*random_hex(0), "");
  EXPECT_FALSE(random_hex(257));
}

}  // namespace
}  // namespace gantry
