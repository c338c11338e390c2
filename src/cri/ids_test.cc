// SPDX-License-Identifier: Apache-2.0
#include "cri/ids.h"

#include <gtest/gtest.h>

namespace gantry::cri {
namespace {

using Objects = std::map<std::string, std::shared_ptr<int>>;

Objects objects() {
  return {{"abc1", std::make_shared<int>(1)},
          {"abc2", std::make_shared<int>(2)},
          {"abc", std::make_shared<int>(3)},
          {"def", std::make_shared<int>(4)}};
}

int found(std::string_view id) {
  auto result = find_by_id(objects(), id, "container id");
  return result ? *result ? **result : 0 : -1;
}

TEST(Ids, AreRandomHex) {
  auto one = new_id(), two = new_id();
  ASSERT_TRUE(one && two);
  EXPECT_EQ(one->size(), 64);
  EXPECT_EQ(one->find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_NE(*one, *two);
}

TEST(Ids, AreFoundByTheirStart) {
  EXPECT_EQ(found("abc1"), 1);
  EXPECT_EQ(found("de"), 4);
  EXPECT_EQ(found("abc"), 3) << "a whole id is no start of another one";
  EXPECT_EQ(found("ab"), -1) << "several";
  EXPECT_EQ(found("abcd"), 0);
  EXPECT_EQ(found("zzz"), 0);
  EXPECT_EQ(found("../../etc"), 0);
}

TEST(Ids, AreNeitherEmptyNorEndless) {
  for (const std::string& id : {std::string(), std::string(kMaxIdBytes + 1, 'f')}) {
    auto result = find_by_id(objects(), id, "container id");
    ASSERT_FALSE(result);
    EXPECT_TRUE(result.error().is_invalid());
    EXPECT_TRUE(result.error().message().starts_with("container id")) << result.error().message();
  }
}

}  // namespace
}  // namespace gantry::cri
