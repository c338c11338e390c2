// SPDX-License-Identifier: Apache-2.0
// The SQLite store under what every store is held to; tests/conformance/store_*.py do the same with kills and with
// etcd.
#include "control/store/sqlite_store.h"
#include "control/store/store_fixture.h"
#include "tests/support/store/contract.h"
#include "tests/support/store/history_checker.h"

namespace gantry::control {
namespace {

class CheckerTest : public ::testing::Test {
 protected:
  void open(SqliteOptions options = {}) {
    auto opened = SqliteStore::open(folder_ / "control.db", options);
    ASSERT_TRUE(opened.has_value()) << opened.error().message();
    store_ = std::move(*opened);
  }
  void check(const test::HistoryOptions& options) {
    auto report = test::check_history(*store_, options);
    for (const std::string& problem : report.problems) ADD_FAILURE() << problem;
    EXPECT_GT(report.acknowledged, 50U);
    EXPECT_EQ(report.unknown, 0U);
    EXPECT_GT(report.events, report.acknowledged);
  }

  TemporaryFolder folder_;
  std::unique_ptr<SqliteStore> store_;
};

TEST_F(CheckerTest, DoesWhatEveryStoreDoes) {
  open();
  Loop loop;
  test::check_contract(*store_, loop, "/registry/",
                       [](bool holds, const std::string& what) { EXPECT_TRUE(holds) << what; });
}

TEST_F(CheckerTest, ConcurrentClientsAndWatchersAgree) {
  open();
  check({});
}

TEST_F(CheckerTest, AndWithWatchersThatReadHistory) {
  open({.recent_bytes = 4000});
  check({.seed = 2});
}

TEST_F(CheckerTest, AndWithManyClients) {
  open({.history = {.age = std::chrono::hours(1), .bytes = 64 << 20}, .recent_bytes = 100000});
  check({.clients = 32, .keys = 3, .writes = 60, .seed = 3});
}

TEST_F(CheckerTest, AndForHalfAMinuteLong) {
  open({.history = {.age = std::chrono::hours(1), .bytes = 1 << 30}, .recent_bytes = 100000});
  check({.clients = 64, .watchers = 8, .keys = 6, .length = std::chrono::seconds(30), .seed = 4});
}

}  // namespace
}  // namespace gantry::control
