// SPDX-License-Identifier: Apache-2.0
// deps: gantry_volumes gantry_kubernetes_proto
// Places within volumes, bound for containers: none leads out of its volume, whatever is written into it meanwhile.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/support/world.h"
#include "volumes/prepare.h"
#include "volumes/sub_path.h"

namespace gantry::volumes {
namespace {

namespace fs = std::filesystem;

const std::string kPod = "/mnt/pod";
const std::string kVolume = "/mnt/volume";

void write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }
std::string read(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}
Result<std::string> bind_part(const std::string& path, int index = 0) {
  return bind_sub_path(kPod, {.volume = "v", .container = "web", .index = index, .volume_path = kVolume, .path = path});
}
mode_t mode_of(const std::string& path) {
  struct stat info{};
  EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

// The world is the program's: each test has it for itself.
class SubPaths : public testing::Test {
 protected:
  SubPaths() {
    for (const auto& entry : fs::directory_iterator("/mnt")) fs::remove_all(entry);
  }
};

TEST_F(SubPaths, AreBoundAndUnbound) {
  fs::create_directories(kVolume + "/data/inner");
  write(kVolume + "/data/file", "text");
  fs::create_symlink("data", kVolume + "/link");
  fs::create_symlink("../data/file", kVolume + "/data/up");
  std::size_t mounts = test::count_mounts();
  std::size_t fds = test::count_open_fds();
  auto folder = bind_part("data", 0);
  ASSERT_TRUE(folder) << folder.error().message();
  EXPECT_EQ(*folder, kPod + "/volume-subpaths/v/web/0");
  EXPECT_EQ(read(*folder + "/file"), "text");
  auto file = bind_part("link/file", 1);
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_EQ(read(*file), "text");
  auto up = bind_part("data/up", 2);
  ASSERT_TRUE(up) << up.error().message();
  EXPECT_EQ(read(*up), "text");
  EXPECT_EQ(test::count_mounts(), mounts + 3);
  // Of the next container that has the name: what the path leads to now, of another kind than before.
  ASSERT_TRUE(bind_part("data/file", 0));
  EXPECT_EQ(read(kPod + "/volume-subpaths/v/web/0"), "text");
  EXPECT_EQ(test::count_mounts(), mounts + 3);
  auto gone = unmount(kPod);
  ASSERT_TRUE(gone) << gone.error().message();
  EXPECT_EQ(test::count_mounts(), mounts);
  EXPECT_EQ(test::count_open_fds(), fds);
  EXPECT_EQ(read(kVolume + "/data/file"), "text");
}

TEST_F(SubPaths, WhatIsMissingIsMade) {
  fs::create_directories(kVolume + "/there");
  ASSERT_EQ(::chown(kVolume.c_str(), 0, 2000), 0);
  ASSERT_EQ(::chmod(kVolume.c_str(), 02770), 0);
  fs::create_symlink("there", kVolume + "/link");
  ::umask(027);
  auto made = bind_part("link/a/./b//c/");
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(mode_of(kVolume + "/there/a"), 02770U);
  EXPECT_EQ(mode_of(kVolume + "/there/a/b/c"), 02770U);
  write(*made + "/file", "x");
  EXPECT_EQ(read(kVolume + "/there/a/b/c/file"), "x");
  write(kVolume + "/file", "x");
  EXPECT_FALSE(bind_part("file/below"));
  std::string deep;
  for (int i = 0; i < 200; ++i) deep += "d/";
  EXPECT_FALSE(bind_part(deep));
  EXPECT_FALSE(fs::exists(kVolume + "/d"));
  ASSERT_TRUE(unmount(kPod));
}

TEST_F(SubPaths, NoLinkLeadsOut) {
  fs::create_directories(kVolume);
  fs::create_directories("/mnt/host/secret");
  const std::size_t mounts = test::count_mounts();
  for (const char* target : {"/", "/mnt/host", "..", "../host", "/proc/self/root", "/proc/self/cwd", "/mnt/nothing",
                             "../nothing", "nothing"}) {
    fs::remove(kVolume + "/link");
    fs::create_symlink(target, kVolume + "/link");
    EXPECT_FALSE(bind_part("link")) << target;
    EXPECT_FALSE(bind_part("link/host/secret")) << target;
    EXPECT_FALSE(bind_part("link/new/folder")) << target;
  }
  for (const char* path : {"/", "..", "a/../b", "../host", "a/.."}) EXPECT_FALSE(bind_part(path)) << path;
  EXPECT_FALSE(fs::exists("/mnt/nothing"));
  EXPECT_FALSE(fs::exists("/mnt/host/new"));
  EXPECT_EQ(test::count_mounts(), mounts);
}

// CVE-2021-25741: somebody exchanges a folder with a link all the while.
TEST_F(SubPaths, ExchangedLinksDontLeadOut) {
  fs::create_directories(kVolume + "/place/sub");
  write(kVolume + "/place/sub/whose", "ours");
  fs::create_directories("/mnt/host/sub");
  write("/mnt/host/sub/whose", "the host's");
  fs::create_symlink("/mnt/host", kVolume + "/evil");
  std::atomic<bool> is_over = false;
  std::thread attacker([&] {
    while (!is_over) {
      ::renameat2(AT_FDCWD, (kVolume + "/place").c_str(), AT_FDCWD, (kVolume + "/evil").c_str(), RENAME_EXCHANGE);
    }
  });
  int bound = 0, refused = 0;
  for (int i = 0; i < 2000; ++i) {
    auto place = bind_part(i % 2 == 0 ? "place/sub" : "place/sub/made");
    place ? ++bound : ++refused;
    if (place && i % 2 == 0) EXPECT_EQ(read(*place + "/whose"), "ours");
  }
  is_over = true;
  attacker.join();
  EXPECT_FALSE(fs::exists("/mnt/host/sub/made"));
  std::printf("%d bound, %d refused\n", bound, refused);
  ASSERT_TRUE(unmount(kPod));
  EXPECT_TRUE(fs::exists("/mnt/host/sub/whose"));
}

}  // namespace
}  // namespace gantry::volumes
