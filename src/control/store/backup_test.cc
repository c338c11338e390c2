// SPDX-License-Identifier: Apache-2.0
#include "control/store/backup.h"

#include <sys/stat.h>

#include <fstream>

#include "control/store/sqlite_store.h"
#include "control/store/store_fixture.h"

namespace gantry::control {
namespace {

namespace fs = std::filesystem;

class BackupTest : public ::testing::Test {
 protected:
  void put(const std::string& value) {
    auto store = SqliteStore::open(path_);
    ASSERT_TRUE(store.has_value()) << store.error().message();
    EXPECT_TRUE(run(loop_, (*store)->write(loop_, update("/a", value, kAnyRevision)))->done);
  }
  GetAnswer get() {
    auto store = SqliteStore::open(path_);
    EXPECT_TRUE(store.has_value()) << (store ? "" : store.error().message());
    return store ? *run(loop_, (*store)->get(loop_, "/a")) : GetAnswer();
  }

  Loop loop_;
  TemporaryFolder folder_;
  std::string path_ = folder_ / "control.db";
  std::string target_ = folder_ / "backup";
};

TEST_F(BackupTest, AStoreInUseIsCopiedAndRestoredAboveEveryRevision) {
  put("1");
  {
    auto store = SqliteStore::open(path_);
    ASSERT_TRUE(store.has_value());
    EXPECT_TRUE(run(loop_, (*store)->write(loop_, update("/a", "2", kAnyRevision)))->done);
    const BackupFile file{"ca.key", std::string("a\0b", 3)};
    auto revision = backup_store(path_, target_, {&file, 1});
    ASSERT_TRUE(revision.has_value()) << revision.error().message();
    EXPECT_EQ(*revision, 3);
    EXPECT_EQ(restore_store(target_, path_).error().code(), Code::kUnavailable) << "it is open";
  }
  struct stat info;
  ASSERT_EQ(::stat(target_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  put("3");
  put("4");
  auto restored = restore_store(target_, path_);
  ASSERT_TRUE(restored.has_value()) << restored.error().message();
  const std::int64_t revision = restored->revision;
  EXPECT_GT(revision, 1'000'000);
  ASSERT_EQ(restored->files.size(), 1U);
  EXPECT_EQ(restored->files[0].name, "ca.key");
  EXPECT_EQ(restored->files[0].bytes, std::string("a\0b", 3));
  auto answer = get();
  ASSERT_TRUE(answer.entry);
  EXPECT_EQ(answer.entry->value, "2");
  EXPECT_EQ(answer.revision, revision);
  auto store = SqliteStore::open(path_);
  ASSERT_TRUE(store.has_value());
  auto old = run(loop_, (*store)->watch(loop_, "/", 5)->next());
  ASSERT_FALSE(old.has_value());
  EXPECT_TRUE(is_compacted(old.error())) << "a client of before lists anew";
  EXPECT_EQ(run(loop_, (*store)->write(loop_, update("/a", "5", answer.entry->mod_revision)))->revision, revision + 1);
  EXPECT_TRUE(fs::exists(path_ + ".before-restore"));
}

TEST_F(BackupTest, AStoreThatIsLostOrDamagedIsReplaced) {
  put("1");
  ASSERT_TRUE(backup_store(path_, target_).has_value());
  fs::remove(path_);
  ASSERT_TRUE(restore_store(target_, path_).has_value());
  EXPECT_EQ(get().entry->value, "1");
  std::ofstream(path_) << std::string(8192, 'x');
  std::ofstream(path_ + "-wal") << "left";
  auto restored = restore_store(target_, path_);
  ASSERT_TRUE(restored.has_value()) << restored.error().message();
  EXPECT_EQ(get().entry->value, "1");
}

TEST_F(BackupTest, ABackupThatIsDamagedChangesNothing) {
  put("1");
  ASSERT_TRUE(backup_store(path_, target_).has_value());
  EXPECT_TRUE(restore_store(folder_ / "none", path_).error().is_not_found());
  EXPECT_TRUE(backup_store(folder_ / "none", target_).error().is_not_found());
  std::fstream file(target_, std::ios::in | std::ios::out);
  file.seekp(4096);
  file << std::string(4096, '\x7f');
  file.close();
  EXPECT_EQ(restore_store(target_, path_).error().code(), Code::kDataLoss);
  EXPECT_EQ(get().entry->value, "1");
  EXPECT_FALSE(fs::exists(path_ + ".restore"));
}

TEST_F(BackupTest, ABackupThatFailsLeavesNoSecretsBehind) {
  put("1");
  const BackupFile twice[] = {{"ca.key", "a"}, {"ca.key", "b"}};
  EXPECT_FALSE(backup_store(path_, target_, twice).has_value());
  EXPECT_FALSE(fs::exists(target_));
  fs::create_directory(target_);
  EXPECT_FALSE(backup_store(path_, target_).has_value());
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
    EXPECT_FALSE(fs::exists(target_ + ".part" + suffix)) << suffix;
  }
}

}  // namespace
}  // namespace gantry::control
