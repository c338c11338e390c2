// SPDX-License-Identifier: Apache-2.0
#include "agent/object_cache.h"

#include <gtest/gtest.h>

#include <string>

#include "agent/cluster.h"
#include "agent/fake_api.h"
#include "kubernetes/core/v1/config.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;

constexpr char kPath[] = "/api/v1/namespaces/default/configmaps/settings";

class ObjectCacheTest : public testing::Test {
 protected:
  void put(const std::string& color, bool immutable = false) {
    auto object = *api::parse_json(R"({"metadata": {"name": "settings", "namespace": "default"}})");
    object["data"] = api::Value::object({{"color", color}});
    if (immutable) object["immutable"] = true;
    api_.put(kPath, std::move(object));
  }
  ObjectCache::Holder hold() {
    auto holder = cache_.hold([this] {
      ++changes_;
      loop_.stop();
    });
    holder.need({{ObjectKind::kConfigMap, "default", "settings"}});
    return holder;
  }
  // The colour, "none", or an error.
  std::string ask() {
    std::string seen;
    loop_.spawn([](ObjectCacheTest& self, std::string& out) -> Task<> {
      auto found = co_await self.cache_.config_map("default", "settings");
      out = !found ? found.error().message() : *found == nullptr ? "none" : (*found)->data().at("color");
      self.loop_.stop();
    }(*this, seen));
    while (seen.empty()) loop_.run();
    return seen;
  }
  void wait_for_change() {
    for (const int before = changes_; changes_ == before;) loop_.run();
  }

  Loop loop_;
  FakeApi api_{loop_};
  Cluster cluster_{loop_, api_, "node"};
  ObjectCache cache_{cluster_.client()};
  int changes_ = 0;
};

TEST_F(ObjectCacheTest, AnObjectComesChangesAndGoes) {
  EXPECT_EQ(ask(), "no pod of this node refers to default/settings");
  auto holder = hold();
  EXPECT_EQ(ask(), "none");
  put("red");
  for (; ask() != "red";) wait_for_change();
  put("blue");
  for (; ask() != "blue";) wait_for_change();
  api_.remove(kPath);
  for (; ask() != "none";) wait_for_change();
}

TEST_F(ObjectCacheTest, OneWatchServesAllAndEndsWithTheLast) {
  put("red");
  auto first = hold();
  auto second = hold();
  EXPECT_EQ(ask(), "red");
  EXPECT_EQ(api_.watches, 1);
  first.need({});
  EXPECT_EQ(ask(), "red");
  second = ObjectCache::Holder();
  EXPECT_EQ(cache_.watched(), 0U);
}

TEST_F(ObjectCacheTest, WhatNobodyNeedsIsForgotten) {
  put("red");
  {
    auto holder = hold();
    EXPECT_EQ(ask(), "red");
  }
  EXPECT_EQ(cache_.watched(), 0U);
  EXPECT_EQ(ask(), "no pod of this node refers to default/settings");
  put("blue");
  auto again = hold();
  EXPECT_EQ(ask(), "blue");
}

TEST_F(ObjectCacheTest, WhileTheServerIsAwayTheLastOneIsServed) {
  put("red");
  auto holder = hold();
  EXPECT_EQ(ask(), "red");
  api_.set_away(true);
  EXPECT_EQ(ask(), "red");
  put("blue");
  api_.set_away(false);
  for (; ask() != "blue";) wait_for_change();
}

TEST_F(ObjectCacheTest, AnImmutableOneIsNotWatched) {
  put("red", true);
  auto holder = hold();
  EXPECT_EQ(ask(), "red");
  EXPECT_EQ(cache_.watched(), 0U);
  EXPECT_EQ(ask(), "red");
}

}  // namespace
}  // namespace gantry::agent
