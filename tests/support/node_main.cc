// SPDX-License-Identifier: Apache-2.0
// main() of the node tests.
#include <gtest/gtest.h>

#include "tests/support/world.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  if (::testing::GTEST_FLAG(list_tests)) return RUN_ALL_TESTS();
  return gantry::test::run_in_own_world([] { return RUN_ALL_TESTS(); });
}
