// SPDX-License-Identifier: Apache-2.0
#include "base/records.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace gantry {
namespace {

namespace fs = std::filesystem;

constexpr RecordKind kExit{".exit", 0x54495845, 2, 1000};
constexpr RecordKind kIntent{".intent", 0x544e5449, 1, 1000};

class RecordsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/gantry-records-test-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    folder_ = path;
    dir_ = DirFd(::open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string bytes(const std::string& file) {
    std::ifstream in(folder_ / file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void put(const std::string& file, const std::string& text) {
    std::ofstream(folder_ / file, std::ios::binary | std::ios::trunc) << text;
  }
  fs::path folder_;
  DirFd dir_;
};

TEST_F(RecordsTest, WriteReadReplaceRemove) {
  EXPECT_FALSE(read_record(dir_, kExit, "web")->has_value());
  ASSERT_TRUE(write_record(dir_, kExit, "web", "first"));
  ASSERT_TRUE(write_record(dir_, kExit, "web", std::string("two\0", 4)));
  auto record = read_record(dir_, kExit, "web");
  ASSERT_TRUE(record.has_value() && record->has_value());
  EXPECT_EQ((*record)->name, "web");
  EXPECT_EQ((*record)->version, 2);
  EXPECT_EQ((*record)->payload, std::string("two\0", 4));
  struct stat info;
  ASSERT_EQ(::stat((folder_ / "web.exit").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  ASSERT_TRUE(remove_record(dir_, kExit, "web"));
  ASSERT_TRUE(remove_record(dir_, kExit, "web")) << "again is fine";
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(RecordsTest, KindsShareAFolderAndDamageStopsNobody) {
  ASSERT_TRUE(write_record(dir_, kExit, "b", "b"));
  ASSERT_TRUE(write_record(dir_, kExit, "a", ""));
  ASSERT_TRUE(write_record(dir_, kIntent, "a", "other"));
  put("shim.sock", "");
  put("torn.exit", bytes("b.exit").substr(0, 7));
  put("flip.exit", bytes("b.exit").substr(0, bytes("b.exit").size() - 1) + "c");
  put("alien.exit", bytes("a.intent"));
  put("long.exit", bytes("b.exit") + "x");
  put("huge.exit", std::string(5000, 'x'));
  put("bad name.exit", bytes("b.exit"));
  fs::create_directory(folder_ / "dir.exit");
  fs::create_symlink("b.exit", folder_ / "link.exit");
  auto records = read_records(dir_, kExit);
  ASSERT_TRUE(records.has_value());
  ASSERT_EQ(records->whole.size(), 2U);
  EXPECT_EQ(records->whole[0].name, "a");
  EXPECT_EQ(records->whole[1].payload, "b");
  std::string names;
  for (const auto& each : records->unreadable) names += each.name + " ";
  EXPECT_EQ(names, "alien bad name dir flip huge link long torn ");
  for (const auto& each : records->unreadable) {
    EXPECT_NE(each.error.message().find(each.name), std::string::npos) << each.error.message();
  }
}

TEST_F(RecordsTest, OlderVersionsAreReadAndNewerOnesRefused) {
  RecordKind older = kExit, newer = kExit;
  older.version = 1;
  newer.version = 3;
  ASSERT_TRUE(write_record(dir_, older, "old", "x"));
  ASSERT_TRUE(write_record(dir_, newer, "new", "x"));
  EXPECT_EQ((*read_record(dir_, kExit, "old"))->version, 1);
  auto refused = read_record(dir_, kExit, "new");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), Code::kFailedPrecondition);
}

TEST_F(RecordsTest, WhatACrashLeftIsReplaced) {
  put(".web.exit.new", "half");
  EXPECT_TRUE(read_records(dir_, kExit)->whole.empty());
  EXPECT_TRUE(read_records(dir_, kExit)->unreadable.empty());
  ASSERT_TRUE(write_record(dir_, kExit, "web", "x"));
  EXPECT_FALSE(fs::exists(folder_ / ".web.exit.new"));
  put(".web.exit.new", "half");
  ASSERT_TRUE(remove_record(dir_, kExit, "web"));
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(RecordsTest, NamesAndSizesAreChecked) {
  for (const char* name : {"", ".", "..", "../x", "a/b", ".hidden", "-x", "a b", "a\n", "\xc3\xa4"}) {
    EXPECT_TRUE(write_record(dir_, kExit, name, "x").error().is_invalid()) << name;
    EXPECT_TRUE(read_record(dir_, kExit, name).error().is_invalid()) << name;
    EXPECT_TRUE(remove_record(dir_, kExit, name).error().is_invalid()) << name;
  }
  EXPECT_TRUE(check_name(std::string(128, 'a'), "x").has_value());
  EXPECT_FALSE(check_name(std::string(129, 'a'), "x").has_value());
  EXPECT_TRUE(write_record(dir_, kExit, "full", std::string(1000, 'x')).has_value());
  EXPECT_TRUE((*read_record(dir_, kExit, "full"))->payload.size() == 1000);
  EXPECT_TRUE(write_record(dir_, kExit, "over", std::string(1001, 'x')).error().is_resource());
}

}  // namespace
}  // namespace gantry
