// SPDX-License-Identifier: Apache-2.0
#include "base/layout.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace gantry {
namespace {

namespace fs = std::filesystem;

class LayoutTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/gantry-layout-test-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    folder_ = path;
  }
  void TearDown() override { fs::remove_all(folder_); }
  Layout layout() const { return {folder_ / "run/gantry", folder_ / "lib/gantry"}; }
  NodeFolders open() {
    auto folders = NodeFolders::open(layout());
    EXPECT_TRUE(folders.has_value()) << folders.error().message();
    return std::move(*folders);
  }
  fs::path folder_;
};

TEST_F(LayoutTest, NamesAreThoseOfTheDrawing) {
  Layout names;
  EXPECT_EQ(names.socket(), "/run/gantry/gantryd.sock");
  EXPECT_EQ(names.shim_socket("1a"), "/run/gantry/sandboxes/1a/shim.sock");
  EXPECT_EQ(names.database(), "/var/lib/gantry/gantry.db");
  EXPECT_EQ(names.lib_sandbox("1a"), "/var/lib/gantry/sandboxes/1a");
  EXPECT_EQ(names.store() + "/" + Layout::layer("4k"), "/var/lib/gantry/store/l/4k");
  EXPECT_EQ(Layout::container("4m"), "c/4m");
}

TEST_F(LayoutTest, FoldersArePrivate) {
  auto folders = open();
  ASSERT_TRUE(folders.make_run_sandbox("1a").has_value());
  ASSERT_TRUE(folders.make_run_sandbox("1a").has_value()) << "again is fine";
  ASSERT_TRUE(folders.make_lib_sandbox("1a").has_value());
  for (const char* name : {"run/gantry", "run/gantry/sandboxes/1a", "lib/gantry", "lib/gantry/store/l",
                           "lib/gantry/store/c", "lib/gantry/sandboxes/1a"}) {
    struct stat info;
    ASSERT_EQ(::stat((folder_ / name).c_str(), &info), 0) << name;
    EXPECT_EQ(info.st_mode & 07777, 0700U) << name;
  }
  EXPECT_TRUE(folders.open_run_sandbox("1a").has_value());
  EXPECT_TRUE(folders.open_run_sandbox("2b").error().is_not_found());
  for (const char* id : {"", "..", "a/b", ".x"}) {
    EXPECT_TRUE(folders.make_run_sandbox(id).error().is_invalid()) << id;
    EXPECT_TRUE(folders.open_lib_sandbox(id).error().is_invalid()) << id;
  }
}

TEST_F(LayoutTest, OnlyOneHasTheFolders) {
  auto first = open();
  ASSERT_TRUE(first.lock().has_value());
  auto second = open();
  auto refused = second.lock();
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), Code::kFailedPrecondition);
  EXPECT_NE(refused.error().message().find(std::to_string(::getpid())), std::string::npos) << refused.error().message();
  // The same disk under another boot's folder, too.
  auto third = NodeFolders::open({folder_ / "other", folder_ / "lib/gantry"});
  EXPECT_FALSE(third->lock().has_value());
  {
    NodeFolders gone = std::move(first);
  }
  EXPECT_TRUE(second.lock().has_value());
}

TEST_F(LayoutTest, WhatAKilledOneLeftBehindIsWaitedFor) {
  pid_t killed = ::fork();
  if (killed == 0) {
    auto folders = open();
    if (!folders.lock()) ::_exit(1);
    // Its child has the lock, too, and lives on for a while.
    if (::fork() == 0) ::usleep(20'000);
    ::_exit(0);
  }
  int status = 1;
  ASSERT_EQ(::waitpid(killed, &status, 0), killed);
  ASSERT_EQ(status, 0);
  auto folders = open();
  auto locked = folders.lock();
  EXPECT_TRUE(locked.has_value()) << locked.error().message();
}

TEST_F(LayoutTest, RootsOfOthersAreRefused) {
  fs::create_directories(folder_ / "run/gantry");
  ::chmod((folder_ / "run/gantry").c_str(), 0777);
  auto refused = NodeFolders::open(layout());
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message().find("run/gantry"), std::string::npos);
  EXPECT_TRUE(NodeFolders::open({"relative", "/tmp"}).error().is_invalid());
}

TEST_F(LayoutTest, TheInstanceOutlivesABootAndAnEmptiedDisk) {
  auto folders = open();
  auto first = folders.instance();
  ASSERT_TRUE(first.has_value()) << first.error().message();
  EXPECT_EQ(first->id.size(), 16U);
  EXPECT_TRUE(first->new_store);
  EXPECT_FALSE(folders.instance()->new_store);
  EXPECT_EQ(folders.instance()->id, first->id);

  fs::remove(folder_ / "run/gantry/instance");  // a reboot
  EXPECT_EQ(folders.instance()->id, first->id);
  fs::remove(folder_ / "lib/gantry/instance");  // an emptied disk beside running pods
  EXPECT_EQ(folders.instance()->id, first->id);

  std::ofstream(folder_ / "lib/gantry/instance", std::ios::trunc) << "0123456789abcdef\n";
  auto other = folders.instance();
  EXPECT_EQ(other->id, "0123456789abcdef");
  EXPECT_EQ(other->stranger, first->id);

  std::ofstream(folder_ / "lib/gantry/instance", std::ios::trunc) << "garbage";
  EXPECT_EQ(folders.instance().error().code(), Code::kDataLoss);
}

}  // namespace
}  // namespace gantry
