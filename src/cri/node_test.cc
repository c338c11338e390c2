// SPDX-License-Identifier: Apache-2.0
#include "cri/node.h"

#include <gtest/gtest.h>

namespace gantry::cri {
namespace {

TEST(FailWithin, AMissingPieceIsNotTheWholeMissing) {
  Status missing = not_found("c/1/upper");
  Error told = fail_within(missing, "remove container 1").error();
  EXPECT_EQ(told.code(), Code::kInternal);
  EXPECT_EQ(told.message(), "remove container 1: c/1/upper");
  Status busy = fail(Code::kFailedPrecondition, "busy");
  EXPECT_EQ(fail_within(busy, "remove").error().code(), Code::kFailedPrecondition);
}

}  // namespace
}  // namespace gantry::cri
