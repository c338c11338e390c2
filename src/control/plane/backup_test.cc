// SPDX-License-Identifier: Apache-2.0
#include "control/plane/backup.h"

#include <fstream>

#include "control/store/sqlite_store.h"
#include "control/store/store_fixture.h"

namespace gantry::control {
namespace {

namespace fs = std::filesystem;

class PlaneBackupTest : public ::testing::Test {
 protected:
  PlaneBackupTest() {
    fs::create_directories(data_ + "/pki");
    std::ofstream(data_ + "/pki/ca.key") << "key";
    put(data_ + "/store.db");
    EXPECT_TRUE(make_backup(options(data_), backup_));
  }
  static PlaneOptions options(const std::string& data_dir, const std::string& store = {}) {
    PlaneOptions made;
    made.data_dir = data_dir;
    made.store.sqlite_path = store;
    return made;
  }
  void put(const std::string& path) {
    auto store = SqliteStore::open(path);
    ASSERT_TRUE(store);
    EXPECT_TRUE(run(loop_, (*store)->write(loop_, update("/a", "1", kAnyRevision)))->done);
  }

  Loop loop_;
  TemporaryFolder folder_;
  std::string data_ = folder_ / "data";
  std::string backup_ = folder_ / "backup";
  std::string other_ = folder_ / "other";
};

TEST_F(PlaneBackupTest, AnInterruptedRestoreGoesOnWithItsStoreAlone) {
  const std::string store = folder_ / "stores/a.db";
  const std::string prod = folder_ / "stores/prod.db";
  fs::create_directories(folder_ / "stores");
  put(prod);
  fs::create_directories(other_ + "/pki");
  std::ofstream(other_ + "/restore-unfinished") << fs::weakly_canonical(store).string();
  std::ofstream(other_ + "/pki/ca.key") << "ha";
  std::ofstream(store) << "half";

  EXPECT_FALSE(check_restored(other_));
  Status refused = restore_backup(options(other_, prod), backup_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kFailedPrecondition);
  EXPECT_TRUE(refused.error().message().contains("a.db")) << refused.error().message();
  EXPECT_TRUE(fs::exists(prod));
  EXPECT_FALSE(restore_backup(options(other_), backup_)) << "nor with the folder's own";

  Status restored = restore_backup(options(other_, store), backup_);
  EXPECT_TRUE(restored) << restored.error().message();
  EXPECT_TRUE(check_restored(other_));
  EXPECT_TRUE(SqliteStore::open(store));
}

TEST_F(PlaneBackupTest, AMarkThatWasNeverSetHindersNothing) {
  fs::create_directories(other_);
  std::ofstream(other_ + "/restore-unfinished.new") << "/some";
  Status restored = restore_backup(options(other_), backup_);
  EXPECT_TRUE(restored) << restored.error().message();
  EXPECT_FALSE(fs::exists(other_ + "/restore-unfinished.new"));
  EXPECT_TRUE(fs::exists(other_ + "/pki/ca.key"));
  EXPECT_FALSE(restore_backup(options(other_), backup_)) << "it is in use";
}

}  // namespace
}  // namespace gantry::control
