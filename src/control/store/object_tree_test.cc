// SPDX-License-Identifier: Apache-2.0
#include "control/store/object_tree.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace gantry::control {
namespace {

ObjectPtr object(std::string key, std::int64_t revision) {
  return std::make_shared<const CachedObject>(
      std::make_shared<const Entry>(Entry{std::move(key), "", revision, revision}));
}

using Model = std::map<std::string, std::int64_t>;

Model contents(const ObjectTree& tree, std::string_view from = "", std::string_view end = "\xff") {
  Model all;
  tree.visit(from, end, [&](const ObjectPtr& each) { return all.emplace(each->key(), each->revision()).second; });
  return all;
}

TEST(ObjectTreeTest, IsAsAMapAndKeepsWhatItWas) {
  std::mt19937 random(1);
  ObjectTree tree;
  Model model;
  std::vector<std::pair<ObjectTree, Model>> kept;
  for (int i = 1; i <= 4000; ++i) {
    std::string key = std::to_string(random() % 700);
    if (random() % 3 == 0) {
      tree = tree.erase(key);
      model.erase(key);
    } else {
      tree = tree.insert(object(key, i));
      model[key] = i;
    }
    if (i % 200 == 0) kept.emplace_back(tree, model);
  }
  for (const auto& [then, expected] : kept) {
    EXPECT_EQ(contents(then), expected);
    EXPECT_EQ(then.size(), expected.size());
    for (const char* key : {"", "1", "35", "699", "7"}) {
      EXPECT_EQ(then.rank(key), static_cast<std::size_t>(std::distance(expected.begin(), expected.lower_bound(key))));
      EXPECT_EQ(then.find(key) != nullptr, expected.contains(key));
    }
    EXPECT_EQ(contents(then, "3", "5"), Model(expected.lower_bound("3"), expected.lower_bound("5")));
  }
}

TEST(ObjectTreeTest, KeysInOrderDoNotMakeItDeep) {
  ObjectTree tree;
  std::vector<ObjectPtr> all;
  for (int i = 0; i < 20000; ++i) {
    all.push_back(object(std::to_string(100000 + i), i + 1));
    tree = tree.insert(all.back());
  }
  EXPECT_EQ(contents(tree), contents(ObjectTree::from_sorted(all)));
  for (int i = 0; i < 19990; ++i) tree = tree.erase(all[static_cast<std::size_t>(i)]->key());
  EXPECT_EQ(tree.size(), 10U);
  int visits = 0;
  tree.visit("", "\xff", [&](const ObjectPtr&) { return ++visits < 3; });
  EXPECT_EQ(visits, 3);
}

}  // namespace
}  // namespace gantry::control
