// SPDX-License-Identifier: Apache-2.0
#include "volumes/local_folder.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "kubernetes/core/v1/persistent_volume.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::volumes {
namespace {

namespace fs = std::filesystem;

class LocalFolderTest : public testing::Test {
 protected:
  ~LocalFolderTest() override { fs::remove_all(root_); }
  static fs::path make_root() {
    std::string name = testing::TempDir() + "/local-XXXXXX";
    return ::mkdtemp(name.data());
  }
  static unsigned mode_of(const fs::path& path) {
    struct stat info{};
    EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 07777U;
  }

  const fs::path root_ = make_root();
  const fs::path folder_ = root_ / "volumes";
  const fs::path volume_ = folder_ / "pvc-1";
};

TEST_F(LocalFolderTest, AnybodyMayWriteInItAndOnlyRootGetsThere) {
  const auto before = ::umask(077);
  const auto made = make_local_folder(volume_);
  ::umask(before);
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(mode_of(volume_), 0777U);
  EXPECT_EQ(mode_of(folder_), 0700U);
}

TEST_F(LocalFolderTest, OneThatIsThereStaysAsItIs) {
  ASSERT_TRUE(make_local_folder(volume_));
  std::ofstream(volume_ / "data") << "kept";
  ASSERT_EQ(::chmod(volume_.c_str(), 02770), 0);
  ASSERT_TRUE(make_local_folder(volume_));
  EXPECT_EQ(mode_of(volume_), 02770U);
  EXPECT_TRUE(fs::exists(volume_ / "data"));
}

TEST_F(LocalFolderTest, OneThatWasBegunIsMadeAndRemoved) {
  ASSERT_TRUE(fs::create_directories(folder_ / ".pvc-1"));
  ASSERT_TRUE(make_local_folder(volume_));
  EXPECT_EQ(mode_of(volume_), 0777U);
  ASSERT_TRUE(fs::create_directories(folder_ / ".pvc-1"));
  ASSERT_TRUE(fs::create_directories(volume_ / "deep" / "er"));
  const auto removed = remove_local_folder(volume_, "/pods");
  ASSERT_TRUE(removed) << removed.error().message();
  EXPECT_TRUE(fs::is_empty(folder_));
  EXPECT_TRUE(remove_local_folder(volume_, "/pods"));
  EXPECT_TRUE(remove_local_folder(root_ / "never" / "pvc-1", "/pods"));
}

TEST_F(LocalFolderTest, LinksAreNotFollowed) {
  ASSERT_TRUE(make_local_folder(volume_));
  ASSERT_TRUE(fs::create_directories(root_ / "else"));
  std::ofstream(root_ / "else" / "data") << "kept";
  fs::create_directory_symlink(root_ / "else", volume_ / "link");
  ASSERT_TRUE(remove_local_folder(volume_, "/pods"));
  EXPECT_TRUE(fs::exists(root_ / "else" / "data"));
  // A link in its place is none of ours.
  fs::create_directory_symlink(root_ / "else", volume_);
  (void)remove_local_folder(volume_, "/pods");
  EXPECT_TRUE(fs::exists(root_ / "else" / "data"));
}

TEST(IsMadeHereTest, OfThisNodeInThisFolder) {
  k8s::io::api::core::v1::PersistentVolume volume;
  volume.mutable_metadata()->set_name("pvc-1");
  (*volume.mutable_metadata()->mutable_labels())["gantry.io/local-volume-node"] = "a";
  auto& local = *volume.mutable_spec()->mutable_persistent_volume_source()->mutable_local();
  local.set_path("/v/pvc-1");
  EXPECT_TRUE(is_made_here(volume, "a", "/v"));
  EXPECT_FALSE(is_made_here(volume, "b", "/v"));
  EXPECT_FALSE(is_made_here(volume, "a", "/w"));
  EXPECT_FALSE(is_made_here(volume, "a", ""));
  for (const char* path : {"/v/pvc-2", "/v/x/../pvc-1", "/v/x/pvc-1", "/v/pvc-1/"}) {
    local.set_path(path);
    EXPECT_FALSE(is_made_here(volume, "a", "/v")) << path;
  }
  local.set_path("/v/pvc-1");
  volume.mutable_metadata()->mutable_labels()->clear();
  EXPECT_FALSE(is_made_here(volume, "a", "/v"));
}

}  // namespace
}  // namespace gantry::volumes
