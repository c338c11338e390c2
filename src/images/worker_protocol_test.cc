// SPDX-License-Identifier: Apache-2.0
#include "images/worker_protocol.h"

#include <gtest/gtest.h>

namespace gantry::images {
namespace {

TEST(WorkerAnswer, ComesBackAsItWas) {
  WorkerAnswer answer{"full", true, 5, 6, {"", "a", "a/b"}, {"x"}};
  auto decoded = WorkerAnswer::decode(answer.encode());
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->error, "full");
  EXPECT_TRUE(decoded->is_resource);
  EXPECT_EQ(decoded->bytes, 5U);
  EXPECT_EQ(decoded->inodes, 6U);
  EXPECT_EQ(decoded->opaque_folders, answer.opaque_folders);
  EXPECT_EQ(decoded->implied_folders, answer.implied_folders);
}

// Each folder is work for who reads it: a small answer must not say much of it.
TEST(WorkerAnswer, SaysNoFolderTwice) {
  EXPECT_FALSE(WorkerAnswer::decode(WorkerAnswer{"", false, 0, 0, {"", ""}, {}}.encode()));
  EXPECT_FALSE(WorkerAnswer::decode(WorkerAnswer{"", false, 0, 0, {}, {"a", "b", "a"}}.encode()));
  std::vector<std::string> many;
  for (std::size_t i = 0; i <= kMaxFolders; ++i) many.push_back(std::to_string(i + 1'000'000));
  EXPECT_FALSE(WorkerAnswer::decode(WorkerAnswer{"", false, 0, 0, many, {}}.encode()));
  many.pop_back();
  EXPECT_TRUE(WorkerAnswer::decode(WorkerAnswer{"", false, 0, 0, many, {}}.encode()));
}

}  // namespace
}  // namespace gantry::images
