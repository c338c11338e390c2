// SPDX-License-Identifier: Apache-2.0
#include "base/database.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

namespace gantry::db {
namespace {

namespace fs = std::filesystem;

const Schema kPods{"pods", {"CREATE TABLE pods (id TEXT PRIMARY KEY, attempt INTEGER NOT NULL, note BLOB) STRICT"}};
const Schema kPods2{
    "pods", {kPods.migrations[0], "ALTER TABLE pods ADD COLUMN node TEXT; CREATE INDEX pods_by_node ON pods (node)"}};
const Schema kLayers{"layers", {"CREATE TABLE layers (digest TEXT PRIMARY KEY) STRICT"}};

class DatabaseTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/gantry-database-test-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    folder_ = path;
    path_ = folder_ / "gantry.db";
  }
  void TearDown() override { fs::remove_all(folder_); }

  Connection open(std::vector<Schema> schemas = {kPods}) {
    auto connection = Connection::open(path_, schemas);
    EXPECT_TRUE(connection.has_value()) << connection.error().message();
    return std::move(*connection);
  }
  Error open_error(std::vector<Schema> schemas = {kPods}) {
    auto connection = Connection::open(path_, schemas);
    EXPECT_FALSE(connection.has_value());
    return connection ? Error(Code::kOk, "") : connection.error();
  }
  static std::int64_t count(Connection& connection) {
    auto rows = connection.query("SELECT count(*) FROM pods");
    EXPECT_TRUE(rows && rows->next().value_or(false));
    return rows->integer(0);
  }

  fs::path folder_;
  std::string path_;
};

TEST_F(DatabaseTest, ANewFileIsPrivateAndLeavesNothingBesideIt) {
  {
    auto connection = open();
    struct stat info;
    ASSERT_EQ(::stat(path_.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600U);
    ASSERT_EQ(::stat((path_ + "-wal").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600U) << "the log holds the same data";
  }
  std::vector<fs::path> names;
  for (const auto& entry : fs::directory_iterator(folder_)) names.push_back(entry.path().filename());
  EXPECT_EQ(names, std::vector<fs::path>{"gantry.db"});
}

TEST_F(DatabaseTest, ValuesOfEachKindComeBack) {
  auto connection = open();
  std::string bytes("a\0b", 3);
  auto changed = connection.execute("INSERT INTO pods VALUES (?, ?, ?), (?, ?, ?)",
                                    {"one", -7, Blob{bytes}, std::string_view(), INT64_MAX, nullptr});
  ASSERT_TRUE(changed.has_value()) << changed.error().message();
  EXPECT_EQ(*changed, 2);
  auto rows = connection.query("SELECT id, attempt, note FROM pods ORDER BY attempt");
  ASSERT_TRUE(rows.has_value());
  ASSERT_TRUE(*rows->next());
  EXPECT_EQ(rows->text(0), "one");
  EXPECT_EQ(rows->integer(1), -7);
  EXPECT_EQ(rows->blob(2), bytes);
  ASSERT_TRUE(*rows->next());
  EXPECT_FALSE(rows->is_null(0)) << "an empty text is no NULL";
  EXPECT_EQ(rows->text(0), "");
  EXPECT_EQ(rows->integer(1), INT64_MAX);
  EXPECT_TRUE(rows->is_null(2));
  EXPECT_FALSE(*rows->next());
}

TEST_F(DatabaseTest, OneStatementMayRunWithinItself) {
  auto connection = open();
  ASSERT_TRUE(connection.execute("INSERT INTO pods (id, attempt) VALUES ('a', 1), ('b', 2)"));
  const char* sql = "SELECT id FROM pods ORDER BY id";
  auto outer = connection.query(sql);
  std::string seen;
  while (*outer->next()) {
    auto inner = connection.query(sql);
    while (*inner->next()) seen += outer->string(0) + inner->string(0) + " ";
  }
  EXPECT_EQ(seen, "aa ab ba bb ");
}

TEST_F(DatabaseTest, AFailedTransactionLeavesNothing) {
  auto connection = open();
  auto result = connection.write([](Connection& c) -> Status {
    EXPECT_TRUE(c.execute("INSERT INTO pods (id, attempt) VALUES ('a', 1)").has_value());
    return invalid_argument("changed my mind");
  });
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().message(), "changed my mind");
  EXPECT_EQ(count(connection), 0);
}

TEST_F(DatabaseTest, ReadingTransactionsDoNotWrite) {
  auto connection = open();
  auto result =
      connection.read([](Connection& c) { return c.execute("INSERT INTO pods (id, attempt) VALUES ('a', 1)"); });
  EXPECT_FALSE(result.has_value());
  EXPECT_TRUE(connection.execute("INSERT INTO pods (id, attempt) VALUES ('a', 1)").has_value())
      << "writes again afterwards";
}

TEST_F(DatabaseTest, ErrorsSayWhatKind) {
  auto connection = open();
  ASSERT_TRUE(connection.execute("INSERT INTO pods (id, attempt) VALUES ('a', 1)"));
  auto twice = connection.execute("INSERT INTO pods (id, attempt) VALUES (?, ?)", {"a", 2});
  ASSERT_FALSE(twice.has_value());
  EXPECT_TRUE(twice.error().is_already_exists());
  EXPECT_NE(twice.error().message().find(path_), std::string::npos);
  EXPECT_TRUE(connection.execute("INSERT INTO pods (id, attempt) VALUES (?, ?)", {"b"}).error().is_invalid());
  EXPECT_TRUE(connection.execute("SELEKT 1").error().is_invalid());
}

TEST_F(DatabaseTest, UsersBringTheirTablesAndGrowApart) {
  {
    open({kPods});
  }
  {
    auto both = open({kPods2, kLayers});
    EXPECT_TRUE(both.execute("INSERT INTO pods (id, attempt, node) VALUES ('a', 1, 'n')").has_value());
    EXPECT_TRUE(both.execute("INSERT INTO layers VALUES ('sha256:0')").has_value());
  }
  // `gantry image` knows of layers only.
  {
    open({kLayers});
  }
  Error older = open_error({kPods});
  EXPECT_EQ(older.code(), Code::kFailedPrecondition);
  EXPECT_NE(older.message().find("use a newer Gantry"), std::string::npos) << older.message();
}

TEST_F(DatabaseTest, AFailedMigrationChangesNothing) {
  {
    open({kPods});
  }
  Schema broken{"pods", {kPods.migrations[0], "ALTER TABLE pods ADD COLUMN node TEXT; CREATE TABLE pods (x)"}};
  Error error = open_error({broken});
  EXPECT_NE(error.message().find("pods"), std::string::npos);
  {
    open({kPods2});
  }
}

TEST_F(DatabaseTest, DamageIsNamedAndNeverReplaced) {
  {
    auto connection = open();
    for (int i = 0; i < 200; ++i) {
      ASSERT_TRUE(connection.execute("INSERT INTO pods (id, attempt) VALUES (?, ?)",
                                     {std::string(200, 'a') + std::to_string(i), i}));
    }
  }
  std::string whole;
  {
    std::ifstream file(path_, std::ios::binary);
    whole.assign(std::istreambuf_iterator<char>(file), {});
  }
  ASSERT_GT(whole.size(), 20000U);
  std::string header = whole, pages = whole;
  header.replace(0, 100, std::string(100, 'x'));
  for (std::size_t at = 4096; at < pages.size(); at += 4096) pages.replace(at, 64, std::string(64, '\xff'));
  Loop loop;
  for (const std::string& bytes : {std::string(), whole.substr(0, 50), whole.substr(0, 8192), header, pages}) {
    {
      std::ofstream file(path_, std::ios::binary | std::ios::trunc);
      file << bytes;
    }
    auto database = Database::open(loop, path_, {{kPods}});
    ASSERT_FALSE(database.has_value()) << bytes.size();
    EXPECT_EQ(database.error().code(), Code::kDataLoss) << database.error().message();
    EXPECT_NE(database.error().message().find(path_), std::string::npos) << database.error().message();
    EXPECT_EQ(fs::file_size(path_), bytes.size()) << "left as it was";
  }
  fs::remove(path_);
  {
    std::ofstream log(path_ + "-wal");
    log << "x";
  }
  EXPECT_EQ(open_error().code(), Code::kDataLoss) << "the file is gone, its log is not";
}

TEST_F(DatabaseTest, ForeignFilesAreRefused) {
  fs::create_directory(path_);
  EXPECT_EQ(open_error().code(), Code::kFailedPrecondition);
  fs::remove(path_);
  {
    std::ofstream other(folder_ / "target");
    other << "x";
  }
  fs::create_symlink(folder_ / "target", path_);
  EXPECT_EQ(open_error().code(), Code::kFailedPrecondition);
}

TEST_F(DatabaseTest, ProcessesTakeTurns) {
  open();
  std::vector<std::jthread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([this, t] {
      auto connection = open({kPods, kLayers});
      for (int i = 0; i < 10; ++i) {
        auto done = connection.write([&](Connection& c) {
          return c.execute("INSERT INTO pods (id, attempt) VALUES (?, ?)",
                           {std::to_string(t) + "-" + std::to_string(i), i});
        });
        EXPECT_TRUE(done.has_value()) << done.error().message();
      }
    });
  }
  threads.clear();
  auto connection = open();
  EXPECT_EQ(count(connection), 30);
}

TEST_F(DatabaseTest, MakersOfANewFileMeet) {
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      auto connection = open();
      EXPECT_TRUE(connection.execute("INSERT INTO pods (id, attempt) VALUES (?, 0)", {t}).has_value());
    });
  }
  threads.clear();
  auto connection = open();
  EXPECT_EQ(count(connection), 4) << "all wrote to the same file";
}

TEST_F(DatabaseTest, TasksRunOnTheStoresThreadInOrder) {
  Loop loop;
  auto database = Database::open(loop, path_, {{kPods}});
  ASSERT_TRUE(database.has_value()) << database.error().message();
  auto early =
      (*database)->run_now([](Connection& c) { return c.execute("INSERT INTO pods (id, attempt) VALUES ('x', 0)"); });
  EXPECT_EQ(*early, 1);
  loop.spawn([](Loop& l, Database& d) -> Task<> {
    auto here = std::this_thread::get_id();
    std::string id = "a";
    auto written = co_await d.run([id, here](Connection& c) -> Status {
      EXPECT_NE(std::this_thread::get_id(), here);
      auto done = c.execute("INSERT INTO pods (id, attempt) VALUES (?, 1)", {id});
      if (!done) return std::unexpected(done.error());
      return {};
    });
    EXPECT_TRUE(written.has_value());
    EXPECT_TRUE(l.is_here());
    auto rolled_back = co_await d.run([](Connection& c) -> Result<int> {
      EXPECT_TRUE(c.execute("DELETE FROM pods").has_value());
      return not_found("nothing");
    });
    EXPECT_FALSE(rolled_back.has_value());
    auto number = co_await d.read([](Connection& c) -> Result<std::int64_t> { return count(c); });
    EXPECT_EQ(*number, 2);
    l.stop();
  }(loop, **database));
  loop.run();
}

TEST_F(DatabaseTest, TheLogIsMadeAsLongAsItWillBe) {
  const fs::path log = path_ + "-wal";
  Loop loop;
  auto other = open();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(other.execute("INSERT INTO pods (id, attempt) VALUES (?, 0)", {i}).has_value());
  }
  auto database = Database::open(loop, path_, {{kPods}});
  ASSERT_TRUE(database.has_value()) << database.error().message();
  const auto size = fs::file_size(log);
  EXPECT_GE(size, 1000U * 4096U) << "what it has before it is written back";
  for (int i = 3; i < 100; ++i) {
    auto done = (*database)->run_now(
        [i](Connection& c) { return c.execute("INSERT INTO pods (id, attempt) VALUES (?, 0)", {i}); });
    ASSERT_TRUE(done.has_value()) << done.error().message();
  }
  EXPECT_EQ(fs::file_size(log), size);
  // As a crash leaves them: the zeros behind the log are its end.
  fs::create_directory(folder_ / "copy");
  for (const char* name : {"gantry.db", "gantry.db-wal"}) fs::copy(folder_ / name, folder_ / "copy" / name);
  path_ = folder_ / "copy/gantry.db";
  auto copy = open();
  EXPECT_EQ(count(copy), 100);
}

}  // namespace
}  // namespace gantry::db
