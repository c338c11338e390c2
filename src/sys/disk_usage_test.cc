// SPDX-License-Identifier: Apache-2.0
#include "sys/disk_usage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "sys/file.h"

namespace gantry::sys {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Ge;
using ::testing::Le;

TEST(DiskUsage, CountsEachFileOnceAndFollowsNothing) {
  char path[] = "/tmp/gantry-disk-usage-test-XXXXXX";
  ASSERT_NE(::mkdtemp(path), nullptr);
  fs::path folder(path);
  fs::create_directories(folder / "u/a/b");
  std::ofstream(folder / "u/a/file") << std::string(100000, 'x');
  fs::create_hard_link(folder / "u/a/file", folder / "u/a/b/again");
  fs::create_directory_symlink("/usr", folder / "u/usr");
  auto dir = open_dir(kCwd, path);
  ASSERT_TRUE(dir);
  auto usage = disk_usage(*dir, "u", 1000);
  ASSERT_TRUE(usage) << usage.error().message();
  EXPECT_TRUE(usage->is_whole);
  EXPECT_EQ(usage->inodes, 5U) << "u, a, b, file, usr";
  EXPECT_GE(usage->bytes, 100000U);
  EXPECT_LT(usage->bytes, 200000U);
  auto bounded = disk_usage(*dir, "u", 3);
  ASSERT_TRUE(bounded);
  EXPECT_FALSE(bounded->is_whole);
  EXPECT_THAT(bounded->inodes, AllOf(Ge(2U), Le(4U))) << "u and three entries, of which two may be one file";
  auto exact = disk_usage(*dir, "u", 5);
  EXPECT_TRUE(exact && exact->is_whole);
  EXPECT_FALSE(disk_usage(*dir, "none", 10));
  EXPECT_FALSE(disk_usage(*dir, "u/usr", 10));
  fs::remove_all(folder);
}

TEST(DiskUsage, CountsEveryEntryOfALargeFolder) {
  char path[] = "/dev/shm/gantry-disk-usage-test-XXXXXX";
  ASSERT_NE(::mkdtemp(path), nullptr);
  fs::path folder(path);
  fs::create_directories(folder / "u");
  for (int i = 0; i < 2500; ++i) fs::create_directory(folder / "u" / std::to_string(i));
  auto dir = open_dir(kCwd, path);
  ASSERT_TRUE(dir);
  auto usage = disk_usage(*dir, "u", 2500);
  ASSERT_TRUE(usage) << usage.error().message();
  EXPECT_TRUE(usage->is_whole);
  EXPECT_EQ(usage->inodes, 2501U);
  fs::remove_all(folder);
}

// Who nests deeply is not measured less than others: what lies above is counted, and what lies beside.
TEST(DiskUsage, ADeepFolderHidesNothingBesideIt) {
  char path[] = "/dev/shm/gantry-disk-usage-test-XXXXXX";
  ASSERT_NE(::mkdtemp(path), nullptr);
  fs::path folder(path);
  fs::path deep = folder / "u";
  for (int i = 0; i < 70; ++i) deep /= "d";
  fs::create_directories(deep);
  std::ofstream(folder / "u/large") << std::string(100000, 'x');
  std::ofstream(folder / "u/d/large") << std::string(100000, 'x');
  auto dir = open_dir(kCwd, path);
  ASSERT_TRUE(dir);
  auto usage = disk_usage(*dir, "u", 1000);
  ASSERT_TRUE(usage) << usage.error().message();
  EXPECT_FALSE(usage->is_whole);
  EXPECT_GE(usage->bytes, 200000U);
  EXPECT_GE(usage->inodes, 64U);
  fs::remove_all(folder);
}

}  // namespace
}  // namespace gantry::sys
