// SPDX-License-Identifier: Apache-2.0
#include "control/store/watch_cache.h"

#include <gmock/gmock.h>

#include <thread>

#include "control/store/sqlite_store.h"
#include "control/store/store_fixture.h"

namespace gantry::control {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr Duration kLimit = std::chrono::minutes(1);

// A value "NODE:TEXT" has the topic NODE.
class Pod final : public CachedObject {
 public:
  explicit Pod(EntryPtr entry) : CachedObject(std::move(entry)) {}
  std::string_view topic() const override {
    std::string_view value = entry().value;
    return value.substr(0, value.find(':'));
  }
};

class WatchCacheTest : public ::testing::Test {
 protected:
  WatchCacheTest() {
    open();
    follow();
  }
  ~WatchCacheTest() override { cache_.reset(); }

  void open() {
    store_.reset();
    auto opened = SqliteStore::open(folder_ / "control.db");
    ASSERT_TRUE(opened.has_value()) << opened.error().message();
    store_ = std::move(*opened);
  }
  void follow(std::size_t window_bytes = 1 << 20, std::int64_t replay = 1000) {
    cache_.reset();
    cache_ = std::make_unique<WatchCache>(loop_, *store_,
                                          WatchCache::Options{.prefix = "/pods/",
                                                              .make = [this](EntryPtr entry) -> ObjectPtr {
                                                                if (entry->value == "bad") return nullptr;
                                                                ++made_;
                                                                return std::make_shared<const Pod>(std::move(entry));
                                                              },
                                                              .window_bytes = window_bytes,
                                                              .replay = replay});
  }
  std::int64_t put(const std::string& key, const std::string& value) {
    return run(loop_, store_->write(loop_, update(key, value, kAnyRevision)))->revision;
  }
  std::int64_t remove(const std::string& key) {
    return run(loop_, store_->write(loop_, removal(key, kAnyRevision)))->revision;
  }
  Snapshot fresh() {
    auto snapshot = run(loop_, cache_->fresh(loop_, kLimit));
    EXPECT_TRUE(snapshot.has_value()) << (snapshot ? "" : snapshot.error().message());
    return snapshot.value_or(Snapshot({}, 0));
  }
  static std::vector<std::string> texts(const CacheBatch& batch) {
    std::vector<std::string> texts;
    for (const auto& event : batch.events) {
      const char* kinds = "+*-";
      texts.push_back(kinds[static_cast<int>(event->kind)] + event->object->key() + "=" + event->object->entry().value +
                      "@" + std::to_string(event->revision()));
    }
    return texts;
  }
  // What there is for a watcher up to now.
  std::vector<std::string> now(CacheWatcher& watcher) {
    fresh();
    watcher.request_progress();
    auto batch = run(loop_, watcher.next());
    EXPECT_TRUE(batch.has_value()) << (batch ? "" : batch.error().message());
    if (!batch) return {};
    EXPECT_EQ(batch->revision, cache_->revision());
    return texts(*batch);
  }

  Loop loop_;
  TemporaryFolder folder_;
  std::unique_ptr<SqliteStore> store_;
  std::unique_ptr<WatchCache> cache_;
  int made_ = 0;
};

TEST_F(WatchCacheTest, AFreshSnapshotHasWhatWasAnsweredAndStays) {
  put("/pods/a/1", "n:1");
  put("/pods/a/2", "n:1");
  put("/nodes/x", "other");
  auto before = fresh();
  EXPECT_EQ(before.revision(), 4) << "progress of the other keys, too";
  remove("/pods/a/1");
  std::int64_t end = put("/pods/b/1", "n:1");
  auto after = fresh();
  EXPECT_EQ(after.revision(), end);
  EXPECT_EQ(after.find("/pods/a/1"), nullptr);
  EXPECT_EQ(before.find("/pods/a/1")->entry().value, "n:1");
  EXPECT_EQ(after.count("/pods/a/"), 1U);
  EXPECT_EQ(after.count("/pods/", "/pods/a/2"), 1U);
  EXPECT_EQ(before.count("/pods/"), 2U);
  std::vector<std::string> keys;
  after.visit("/pods/", "/pods/a/1", [&](const ObjectPtr& each) {
    keys.push_back(each->key());
    return true;
  });
  EXPECT_THAT(keys, ElementsAre("/pods/a/2", "/pods/b/1"));
}

TEST_F(WatchCacheTest, WatchersGetWhatIsInTheirScope) {
  auto all = cache_->watch(loop_, {}, 1);
  auto one = cache_->watch(loop_, {.key = "/pods/a/1"}, 1);
  auto space = cache_->watch(loop_, {.prefix = "/pods/b/"}, 1);
  auto node = cache_->watch(loop_, {.topic = "n"}, 1);
  EXPECT_EQ(cache_->watchers(), 4U);
  put("/pods/a/1", "n:1");
  put("/pods/b/1", "m:1");
  put("/pods/a/1", "m:2");
  remove("/pods/b/1");
  put("/pods/a/10", "m:1");
  EXPECT_THAT(now(*all), ElementsAre("+/pods/a/1=n:1@2", "+/pods/b/1=m:1@3", "*/pods/a/1=m:2@4", "-/pods/b/1=m:1@5",
                                     "+/pods/a/10=m:1@6"));
  EXPECT_THAT(now(*one), ElementsAre("+/pods/a/1=n:1@2", "*/pods/a/1=m:2@4"));
  EXPECT_THAT(now(*space), ElementsAre("+/pods/b/1=m:1@3", "-/pods/b/1=m:1@5"));
  EXPECT_THAT(now(*node), ElementsAre("+/pods/a/1=n:1@2", "*/pods/a/1=m:2@4")) << "also when it goes elsewhere";
  EXPECT_THAT(now(*all), IsEmpty());
  EXPECT_EQ(made_, 5) << "each once, for all";
}

TEST_F(WatchCacheTest, AWatchGoesOnFromARevision) {
  put("/pods/1", "n:1");
  std::int64_t middle = put("/pods/2", "n:1");
  put("/pods/3", "n:1");
  fresh();
  EXPECT_THAT(now(*cache_->watch(loop_, {}, middle)), ElementsAre("+/pods/3=n:1@4"));
  EXPECT_THAT(now(*cache_->watch(loop_, {}, 0)), IsEmpty());
  // Of a revision that is not there yet, as one has who asked the store.
  auto ahead = cache_->watch(loop_, {}, 5);
  put("/pods/4", "n:1");
  put("/pods/5", "n:1");
  EXPECT_THAT(now(*ahead), ElementsAre("+/pods/5=n:1@6"));
}

TEST_F(WatchCacheTest, AWatcherThatWaitsIsWokenAndAnotherNot) {
  auto node = cache_->watch(loop_, {.topic = "n"}, 1);
  auto other = cache_->watch(loop_, {.topic = "m"}, 1);
  std::optional<Result<CacheBatch>> batch, none;
  Event woken(loop_), cancelled(loop_);
  auto keep = [](CacheWatcher& watcher, std::optional<Result<CacheBatch>>& kept, Event& is_kept) -> Task<> {
    kept.emplace(co_await watcher.next());
    is_kept.set();
  };
  loop_.spawn(keep(*node, batch, woken));
  loop_.spawn(keep(*other, none, cancelled));
  put("/pods/1", "n:1");
  ASSERT_TRUE(run(loop_, woken.wait_for(kLimit)));
  ASSERT_TRUE(batch->has_value());
  EXPECT_THAT(texts(**batch), ElementsAre("+/pods/1=n:1@2"));
  EXPECT_FALSE(none.has_value());
  other.reset();
  ASSERT_TRUE(run(loop_, cancelled.wait_for(kLimit)));
  EXPECT_TRUE(none->error().is_cancelled());
}

TEST_F(WatchCacheTest, ASlowWatcherIsTooOldAndOthersAreNot) {
  follow(4000);
  fresh();
  auto slow = cache_->watch(loop_, {}, 1);
  auto quick = cache_->watch(loop_, {}, 1);
  for (int i = 0; i < 10; ++i) {
    put("/pods/" + std::to_string(i), "n:" + std::string(500, 'x'));
    EXPECT_EQ(now(*quick).size(), 1U);
  }
  auto batch = run(loop_, slow->next());
  ASSERT_FALSE(batch.has_value());
  EXPECT_TRUE(is_compacted(batch.error()));
  auto late = cache_->watch(loop_, {}, 2);
  EXPECT_TRUE(is_compacted(run(loop_, late->next()).error()));
}

TEST_F(WatchCacheTest, AListGoesOnAtItsRevisionAndSoDoesAWatchAfterARestart) {
  put("/pods/1", "n:1");
  std::int64_t then = put("/pods/2", "n:1");
  remove("/pods/1");
  put("/pods/3", "n:1");
  fresh();
  for (bool restarted : {false, true}) {
    if (restarted) {
      cache_.reset();
      open();
      follow();
      fresh();
    }
    auto snapshot = cache_->snapshot_at(then);
    ASSERT_TRUE(snapshot.has_value());
    EXPECT_EQ(snapshot->size(), 2U);
    EXPECT_EQ(snapshot->revision(), then);
    EXPECT_THAT(now(*cache_->watch(loop_, {}, then)), ElementsAre("-/pods/1=n:1@4", "+/pods/3=n:1@5"));
    EXPECT_FALSE(cache_->snapshot_at(100).has_value());
  }
  EXPECT_TRUE(run(loop_, store_->compact(loop_, then + 1)).has_value());
  follow();
  EXPECT_EQ(fresh().size(), 2U);
  EXPECT_FALSE(cache_->snapshot_at(then).has_value());
}

TEST_F(WatchCacheTest, BytesThatAreNoObjectAreAsIfTheyWereNotThere) {
  put("/pods/1", "bad");
  put("/pods/2", "n:1");
  for (std::int64_t replay : {1000, 0}) {
    follow(1 << 20, replay);
    EXPECT_EQ(fresh().size(), 1U);
  }
  auto watcher = cache_->watch(loop_, {}, 0);
  put("/pods/1", "n:1");
  put("/pods/2", "bad");
  EXPECT_THAT(now(*watcher), ElementsAre("+/pods/1=n:1@4", "-/pods/2=n:1@5"));
}

TEST_F(WatchCacheTest, WaitingEndsInTimeOrWithTheCache) {
  fresh();
  auto late = run(loop_, cache_->wait_until(loop_, 10, std::chrono::milliseconds(1)));
  ASSERT_FALSE(late.has_value());
  EXPECT_TRUE(late.error().is_deadline());
  auto waiting = cache_->wait_until(loop_, 10, kLimit);
  loop_.post([this] { cache_.reset(); });
  auto ended = run(loop_, std::move(waiting));
  ASSERT_FALSE(ended.has_value());
}

TEST_F(WatchCacheTest, OtherLoopsReadAndWatch) {
  std::int64_t end = 0;
  for (int i = 0; i < 20; ++i) end = put("/pods/" + std::to_string(i % 5), "n:" + std::to_string(i));
  std::int64_t last = 0;
  std::size_t count = 0, listed = 0;
  auto follow_all = [&](Loop& here) -> Task<> {
    auto watcher = cache_->watch(here, {}, 1);
    while (last < end) {
      auto batch = co_await watcher->next();
      if (!batch) break;
      for (const auto& event : batch->events) {
        EXPECT_GT(event->revision(), last);
        last = event->revision();
      }
      count += batch->events.size();
    }
    auto snapshot = co_await cache_->fresh(here, kLimit);
    if (snapshot) listed = snapshot->size();
    watcher.reset();
    here.stop();
    loop_.stop();
  };
  Loop other;
  std::thread thread([&] {
    other.post([&] { other.spawn(follow_all(other)); });
    other.run();
  });
  loop_.run();
  thread.join();
  EXPECT_EQ(count, 20U);
  EXPECT_EQ(listed, 5U);
}

}  // namespace
}  // namespace gantry::control
