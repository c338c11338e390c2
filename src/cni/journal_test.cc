// SPDX-License-Identifier: Apache-2.0
#include "cni/journal.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "base/loop.h"

namespace gantry::cni {
namespace {

namespace fs = std::filesystem;

class JournalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/gantry-journal-test-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    folder_ = path;
  }
  void TearDown() override { fs::remove_all(folder_); }

  template <typename Story>
  void run(Story story) {
    Loop loop;
    std::vector<db::Schema> tables{journal_schema()};
    auto database = db::Database::open(loop, folder_ / "gantry.db", tables);
    ASSERT_TRUE(database) << database.error().message();
    loop.spawn([](Loop& l, db::Database& d, Story& tell) -> Task<> {
      co_await tell(d);
      l.stop();
    }(loop, **database, story));
    loop.run();
  }

  fs::path folder_;
};

Task<bool> has(Journal& journal, std::string id) {
  auto found = co_await journal.find(std::move(id));
  co_return found && found->has_value();
}

TEST_F(JournalTest, ARowIsThereUntilItsEndAlsoForTheNextProcess) {
  run([](db::Database& database) -> Task<> {
    Journal journal(database);
    EXPECT_FALSE(co_await has(journal, "s1"));
    EXPECT_TRUE(co_await journal.begin({.sandbox_id = "s1", .netns = "/run/netns/s1", .config = "{}"}));
    EXPECT_TRUE(co_await journal.begin({.sandbox_id = "s2", .netns = "/run/netns/s2", .config = "{}"}));
    EXPECT_TRUE(co_await journal.set_result("s1", "{\"a\":1}"));
    EXPECT_TRUE(co_await has(journal, "s1"));
  });
  run([](db::Database& database) -> Task<> {
    Journal journal(database);
    auto found = co_await journal.find("s1");
    EXPECT_TRUE(found && *found && (*found)->result == "{\"a\":1}" && (*found)->netns == "/run/netns/s1");
    EXPECT_TRUE(co_await journal.end("s1"));
    EXPECT_TRUE(co_await journal.end("s1"));
    EXPECT_FALSE(co_await has(journal, "s1"));
    EXPECT_TRUE(co_await has(journal, "s2"));
  });
}

TEST_F(JournalTest, WhoWasNeverAttachedIsKnownWithoutTheStore) {
  run([](db::Database& database) -> Task<> {
    Journal journal(database);
    EXPECT_FALSE(co_await has(journal, "s1"));
    // A row that the journal did not write is not looked for.
    Journal other(database);
    EXPECT_TRUE(co_await other.begin({.sandbox_id = "s1", .netns = "/run/netns/s1", .config = "{}"}));
    EXPECT_FALSE(co_await has(journal, "s1"));
    EXPECT_TRUE(co_await has(other, "s1"));
  });
}

}  // namespace
}  // namespace gantry::cni
