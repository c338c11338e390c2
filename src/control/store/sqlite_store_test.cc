// SPDX-License-Identifier: Apache-2.0
#include "control/store/sqlite_store.h"

#include <gmock/gmock.h>

#include "control/store/store_fixture.h"

namespace gantry::control {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;

class SqliteStoreTest : public ::testing::Test {
 protected:
  SqliteStoreTest() { open(); }

  void open(SqliteOptions options = {}) {
    store_.reset();
    auto opened = SqliteStore::open(folder_ / "control.db", options);
    ASSERT_TRUE(opened.has_value()) << opened.error().message();
    store_ = std::move(*opened);
  }
  template <typename T>
  T wait(Task<Result<T>> task) {
    auto result = run(loop_, std::move(task));
    EXPECT_TRUE(result.has_value()) << (result ? "" : result.error().message());
    return result ? std::move(*result) : T();
  }
  template <typename T>
  Error error_of(Task<Result<T>> task) {
    auto result = run(loop_, std::move(task));
    EXPECT_FALSE(result.has_value());
    return result ? Error(Code::kOk, "") : result.error();
  }
  WriteAnswer write(Write write) { return wait(store_->write(loop_, std::move(write))); }
  std::int64_t put(const std::string& key, const std::string& value) {
    auto answer = write(update(key, value, kAnyRevision));
    EXPECT_TRUE(answer.done);
    return answer.revision;
  }
  std::string value_of(const std::string& key, std::int64_t revision = 0) {
    auto answer = wait(store_->get(loop_, key, revision));
    return answer.entry ? answer.entry->value : "(none)";
  }
  std::vector<std::string> keys(ListRequest request) {
    std::vector<std::string> names;
    for (const auto& entry : wait(store_->list(loop_, std::move(request))).entries) names.push_back(entry->key);
    return names;
  }
  // Events until the batch that reaches `revision`, as "key=value@revision<previous".
  std::vector<std::string> events(Watcher& watcher, std::int64_t revision) {
    std::vector<std::string> texts;
    for (;;) {
      watcher.request_progress(revision);
      auto batch = wait(watcher.next());
      for (const StoreEvent& event : batch.events) {
        texts.push_back(event.entry->key + (event.kind == StoreEvent::Kind::kPut ? "=" + event.entry->value : " gone") +
                        "@" + std::to_string(event.revision()) + (event.previous ? "<" + event.previous->value : ""));
      }
      if (batch.revision >= revision || batch.revision == 0) return texts;
    }
  }

  Loop loop_;
  TemporaryFolder folder_;
  std::unique_ptr<SqliteStore> store_;
};

TEST_F(SqliteStoreTest, AWriteIsDoneOnlyOnTheRevisionThatItExpects) {
  EXPECT_EQ(wait(store_->current_revision(loop_)), 1);
  auto made = write(create("/a", "1"));
  EXPECT_TRUE(made.done);
  EXPECT_EQ(made.revision, 2);
  EXPECT_EQ(made.entry->create_revision, 2);
  auto again = write(create("/a", "2"));
  EXPECT_FALSE(again.done);
  EXPECT_EQ(again.entry->value, "1");
  EXPECT_EQ(again.revision, 2);
  auto changed = write(update("/a", "2", 2));
  EXPECT_TRUE(changed.done);
  EXPECT_EQ(changed.entry->create_revision, 2);
  EXPECT_EQ(changed.entry->mod_revision, 3);
  EXPECT_FALSE(write(removal("/a", 2)).done);
  auto removed = write(removal("/a", 3));
  EXPECT_TRUE(removed.done);
  EXPECT_EQ(removed.entry->value, "2");
  EXPECT_EQ(removed.revision, 4);
  auto missing = write(update("/a", "3", 3));
  EXPECT_FALSE(missing.done);
  EXPECT_EQ(missing.entry, nullptr);
  EXPECT_FALSE(write(removal("/a", kAnyRevision)).done);
  EXPECT_EQ(wait(store_->current_revision(loop_)), 4);
}

TEST_F(SqliteStoreTest, ReadsAreOfNowOrOfARevision) {
  put("/a", "1");
  std::int64_t then = put("/a", "2");
  write(removal("/a", kAnyRevision));
  EXPECT_EQ(value_of("/a"), "(none)");
  EXPECT_EQ(value_of("/a", then), "2");
  EXPECT_EQ(value_of("/a", then - 1), "1");
  EXPECT_TRUE(is_ahead(error_of(store_->get(loop_, "/a", then + 2))));
}

TEST_F(SqliteStoreTest, ListsGoByPrefixInPagesOfOneRevision) {
  for (const char* key : {"/pods/b/1", "/pods/a/2", "/pods/a/1", "/pod", "/podsx", "/nodes/n"}) put(key, "v");
  EXPECT_THAT(keys({"/pods/"}), ElementsAre("/pods/a/1", "/pods/a/2", "/pods/b/1"));
  auto first = wait(store_->list(loop_, {.prefix = "/pods/", .limit = 1}));
  EXPECT_TRUE(first.more);
  EXPECT_EQ(first.rest, 2);
  put("/pods/a/15", "new");
  write(removal("/pods/b/1", kAnyRevision));
  EXPECT_THAT(keys({.prefix = "/pods/", .after = "/pods/a/1", .revision = first.revision}),
              ElementsAre("/pods/a/2", "/pods/b/1"));
  EXPECT_THAT(keys({.prefix = "/pods/", .after = "/pods/a/1"}), ElementsAre("/pods/a/15", "/pods/a/2"));
  EXPECT_EQ(wait(store_->count(loop_, "/pods/")), 3);
  EXPECT_EQ(wait(store_->list(loop_, {.prefix = "/pods/", .max_bytes = 1})).entries.size(), 1U);
}

TEST_F(SqliteStoreTest, KeysAndValuesAreBytes) {
  std::string key("/k\0\xff", 4), value("\0\xfe v\0", 5);
  put(key, value);
  EXPECT_EQ(value_of(key), value);
  EXPECT_THAT(keys({std::string("/k\0", 3)}), ElementsAre(key));
  EXPECT_THAT(keys({key}), ElementsAre(key));
  EXPECT_THAT(keys({""}), ElementsAre(key));
  EXPECT_EQ(error_of(store_->write(loop_, create(std::string(kMaxKey + 1, 'k'), ""))).code(), Code::kInvalidArgument);
}

TEST_F(SqliteStoreTest, AWatchTellsWhatWasBeforeAndWhatComes) {
  put("/pods/a", "1");
  auto watcher = store_->watch(loop_, "/pods/", 1);
  put("/nodes/n", "x");
  put("/pods/a", "2");
  std::int64_t end = write(removal("/pods/a", kAnyRevision)).revision;
  EXPECT_THAT(events(*watcher, end), ElementsAre("/pods/a=1@2", "/pods/a=2@4<1", "/pods/a gone@5<2"));
  auto later = store_->watch(loop_, "/pods/", 4);
  EXPECT_THAT(events(*later, end), ElementsAre("/pods/a gone@5<2"));
}

TEST_F(SqliteStoreTest, AWatcherThatWaitsIsWokenByItsPrefixAloneAndHasSeenTheRest) {
  auto watcher = store_->watch(loop_, "/pods/", 1);
  std::optional<Result<EventBatch>> batch;
  auto follow = [](Watcher& w, std::optional<Result<EventBatch>>& kept) -> Task<> { kept.emplace(co_await w.next()); };
  loop_.spawn(follow(*watcher, batch));
  std::int64_t other = put("/nodes/n", "x");
  EXPECT_FALSE(batch.has_value());
  EXPECT_EQ(watcher->seen_through(), other);
  put("/pods/a", "1");
  wait(store_->get(loop_, "/pods/a", 0));
  ASSERT_TRUE(batch && batch->has_value());
  EXPECT_EQ((*batch)->events.size(), 1U);
  EXPECT_EQ(watcher->seen_through(), other) << "until it asks for the next";
}

TEST_F(SqliteStoreTest, AWatcherThatIsClosedOrDroppedEnds) {
  auto watcher = store_->watch(loop_, "/", 1);
  std::optional<Result<EventBatch>> batch;
  auto follow = [](Watcher& w, std::optional<Result<EventBatch>>& kept) -> Task<> { kept.emplace(co_await w.next()); };
  loop_.spawn(follow(*watcher, batch));
  watcher.reset();
  put("/a", "1");
  ASSERT_TRUE(batch.has_value());
  EXPECT_TRUE(batch->error().is_cancelled());
  auto dropped = store_->watch(loop_, "/", 1);
  {
    auto task = dropped->next();
  }
  put("/a", "2");
}

TEST_F(SqliteStoreTest, ASlowWatcherReadsHistory) {
  open({.recent_bytes = 2000});
  auto watcher = store_->watch(loop_, "/pods/", 1);
  std::vector<std::string> expected;
  std::string previous;
  std::int64_t end = 0;
  for (int i = 0; i < 40; ++i) {
    std::string value = std::to_string(i) + std::string(i < 30 ? 100 : 3, '.');
    end = put("/pods/a", value);
    expected.push_back("/pods/a=" + value + "@" + std::to_string(end) + previous);
    previous = "<" + value;
    put("/nodes/n", value);
  }
  EXPECT_EQ(events(*watcher, end), expected);
}

TEST_F(SqliteStoreTest, CompactionForgetsHistoryAndNothingElse) {
  put("/a", "1");
  put("/b", "1");
  write(removal("/b", kAnyRevision));
  std::int64_t mark = put("/a", "2");
  put("/a", "3");
  std::int64_t end = put("/c", "1");
  EXPECT_TRUE(run(loop_, store_->compact(loop_, mark)).has_value());
  EXPECT_FALSE(run(loop_, store_->compact(loop_, end + 1)).has_value());
  EXPECT_TRUE(is_compacted(error_of(store_->get(loop_, "/a", mark - 1))));
  EXPECT_EQ(value_of("/a", mark), "2");
  EXPECT_THAT(keys({.prefix = "/", .revision = mark}), ElementsAre("/a"));
  open();
  EXPECT_EQ(wait(store_->counts(loop_)).compacted, mark);
  EXPECT_TRUE(is_compacted(error_of(store_->watch(loop_, "/", mark - 1)->next())));
  auto watcher = store_->watch(loop_, "/", mark);
  EXPECT_THAT(events(*watcher, end), ElementsAre("/a=3@6<2", "/c=1@7"));
}

TEST_F(SqliteStoreTest, RowsOfHistoryGoInStepsAndTheRevisionStays) {
  for (int i = 0; i < 300; ++i) put("/a", "x");
  std::int64_t end = write(removal("/a", kAnyRevision)).revision;
  EXPECT_TRUE(run(loop_, store_->compact(loop_, end)).has_value());
  // The writer's own order: a write that is answered after several more saw steps between them.
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(write(removal("/none", kAnyRevision)).done);
  open();
  EXPECT_EQ(wait(store_->current_revision(loop_)), end);
  EXPECT_EQ(put("/a", "new"), end + 1);
  EXPECT_THAT(keys({"/"}), ElementsAre("/a"));
}

TEST_F(SqliteStoreTest, HistoryIsForgottenByItsSize) {
  open({.history = {.age = std::chrono::hours(1), .bytes = 16000}});
  for (int i = 0; i < 64; ++i) put("/a", std::string(1000, 'x'));
  std::int64_t compacted = wait(store_->counts(loop_)).compacted;
  EXPECT_GT(compacted, 40);
  EXPECT_LT(compacted, 60);
}

TEST_F(SqliteStoreTest, WhatHasATimeToLiveIsRemovedByItself) {
  auto watcher = store_->watch(loop_, "/events/", 1);
  write({"/events/kept", "1", kAbsent, seconds(3600)});
  write({"/events/e", "1", kAbsent, seconds(0)});
  EXPECT_THAT(events(*watcher, 4), ElementsAre("/events/kept=1@2", "/events/e=1@3", "/events/e gone@4<1"));
  open();
  EXPECT_EQ(value_of("/events/kept"), "1");
}

TEST_F(SqliteStoreTest, AnEntryThatWasWrittenAgainHasTheTimeOfItsLastWrite) {
  write({"/events/e", "1", kAbsent, seconds(3600)});
  write({"/events/e", "2", 2, std::nullopt});
  write({"/events/f", "1", kAbsent, seconds(0)});
  auto watcher = store_->watch(loop_, "/events/", 4);
  EXPECT_THAT(events(*watcher, 5), ElementsAre("/events/f gone@5<1"));
  EXPECT_EQ(value_of("/events/e"), "2");
}

TEST_F(SqliteStoreTest, ManyWritersShareTransactionsAndAFailedOneIsAlone) {
  constexpr int kWriters = 64;
  int done = 0, refused = 0;
  auto writer = [&](int number) -> Task<> {
    auto answer = co_await store_->write(loop_, create(number % 2 == 0 ? "/same" : "/" + std::to_string(number), "v"));
    EXPECT_TRUE(answer.has_value());
    ++(answer->done ? done : refused);
    if (done + refused == kWriters) loop_.stop();
  };
  for (int i = 0; i < kWriters; ++i) loop_.spawn(writer(i));
  loop_.run();
  EXPECT_EQ(done, kWriters / 2 + 1);
  EXPECT_EQ(wait(store_->current_revision(loop_)), kWriters / 2 + 2);
}

TEST_F(SqliteStoreTest, OneProcessHasIt) {
  auto second = SqliteStore::open(folder_ / "control.db");
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code(), Code::kUnavailable);
}

TEST_F(SqliteStoreTest, WhatWasAnsweredIsInACopyOfTheFilesAtAnyMoment) {
  namespace fs = std::filesystem;
  std::vector<std::int64_t> revisions;
  for (int i = 0; i < 30; ++i) {
    std::int64_t revision = put("/key/" + std::to_string(i % 7), std::string(static_cast<std::size_t>(i) * 300, 'v'));
    // As a power cut would leave them: the log as it is, without its index.
    std::string copy = folder_ / ("copy" + std::to_string(i));
    fs::create_directory(copy);
    for (const char* suffix : {"", "-wal"})
      fs::copy_file(folder_ / "control.db" + suffix, copy + "/control.db" + suffix);
    auto opened = SqliteStore::open(copy + "/control.db");
    ASSERT_TRUE(opened.has_value()) << opened.error().message();
    EXPECT_EQ(wait((*opened)->current_revision(loop_)), revision);
    auto answer = wait((*opened)->get(loop_, "/key/" + std::to_string(i % 7), 0));
    ASSERT_TRUE(answer.entry);
    EXPECT_EQ(answer.entry->mod_revision, revision);
  }
}

TEST_F(SqliteStoreTest, ALogThatIsCutAnywhereIsAStoreOfAnEarlierMoment) {
  namespace fs = std::filesystem;
  std::vector<std::string> values(2);  // of "/a" at each revision
  for (int i = 0; i < 20; ++i) {
    values.emplace_back(static_cast<std::size_t>(i) * 200, static_cast<char>('a' + i));
    ASSERT_EQ(put("/a", values.back()), static_cast<std::int64_t>(values.size()) - 1);
  }
  std::string log = folder_ / "control.db-wal", copy = folder_ / "cut.db";
  std::int64_t last = 0;
  constexpr std::size_t kUsed = 320 << 10;
  for (std::size_t size = 0; size <= kUsed; size += 23719) {
    fs::copy_file(folder_ / "control.db", copy, fs::copy_options::overwrite_existing);
    fs::copy_file(log, copy + "-wal", fs::copy_options::overwrite_existing);
    fs::resize_file(copy + "-wal", size);
    fs::remove(copy + "-shm");
    auto opened = SqliteStore::open(copy);
    ASSERT_TRUE(opened.has_value()) << size << ": " << opened.error().message();
    auto answer = wait((*opened)->get(loop_, "/a", 0));
    EXPECT_GE(answer.revision, last) << size;
    last = answer.revision;
    if (!answer.entry) continue;
    EXPECT_EQ(answer.entry->mod_revision, last);
    EXPECT_EQ(answer.entry->value, values[static_cast<std::size_t>(last)]) << size;
  }
  EXPECT_EQ(last, 21) << "the log is longer than that";
}

}  // namespace
}  // namespace gantry::control
