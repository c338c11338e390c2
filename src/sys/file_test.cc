// SPDX-License-Identifier: Apache-2.0
#include "sys/file.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

namespace gantry::sys {
namespace {

class FileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/gantry-file-test-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    path_ = path;
    auto dir = open_dir(kCwd, path);
    ASSERT_TRUE(dir.has_value());
    dir_ = std::move(*dir);
  }
  void TearDown() override { EXPECT_TRUE(remove_tree(kCwd, path_.c_str()).has_value()); }
  void put(const char* name, std::string_view bytes) {
    auto fd = openat(dir_, name, O_CREAT | O_WRONLY, 0600);
    ASSERT_TRUE(fd.has_value());
    ASSERT_TRUE(write_all(*fd, bytes).has_value());
  }
  std::string path_;
  DirFd dir_;
};

TEST_F(FileTest, InRootKeepsAbsoluteLinksAndDotsInside) {
  put("passwd", "inside");
  ASSERT_TRUE(symlinkat("/passwd", dir_, "absolute").has_value());
  ASSERT_TRUE(symlinkat("../../../../passwd", dir_, "dots").has_value());
  for (const char* name : {"absolute", "dots"}) {
    auto fd = openat2(dir_, name, O_RDONLY, Resolve::kInRoot);
    ASSERT_TRUE(fd.has_value()) << fd.error().message();
    EXPECT_EQ(*read_all(*fd, 100), "inside");
  }
}

TEST_F(FileTest, OpenedDescriptorsAreCloseOnExec) {
  auto fd = openat2(dir_, ".", O_RDONLY, Resolve::kBeneath);
  ASSERT_TRUE(fd.has_value());
  EXPECT_EQ(::fcntl(fd->get(), F_GETFD), FD_CLOEXEC);
}

TEST_F(FileTest, ReadAllRefusesWhatIsOverTheLimit) {
  put("big", std::string(10000, 'x'));
  EXPECT_EQ(read_file(dir_, "big", 10000)->size(), 10000U);
  auto over = read_file(dir_, "big", 9999);
  ASSERT_FALSE(over.has_value());
  EXPECT_TRUE(over.error().is_resource());
  EXPECT_NE(over.error().message().find("9999"), std::string::npos);
}

TEST_F(FileTest, ReadFileDoesNotFollowTheLastLink) {
  ASSERT_TRUE(symlinkat("/etc/hostname", dir_, "link").has_value());
  EXPECT_FALSE(read_file(dir_, "link", 100).has_value());
}

TEST_F(FileTest, RemoveTreeTakesAllAndDoesNotFollowLinks) {
  put("keep", "canary");
  ASSERT_TRUE(mkdirat(dir_, "tree", 0700).has_value());
  ASSERT_TRUE(mkdirat(dir_, "tree/deep", 0700).has_value());
  put("tree/deep/file", "x");
  ASSERT_TRUE(symlinkat("../keep", dir_, "tree/link").has_value());
  ASSERT_TRUE(symlinkat("..", dir_, "tree/up").has_value());
  ASSERT_TRUE(remove_tree(dir_, "tree").has_value());
  EXPECT_FALSE(fstatat(dir_, "tree", 0).has_value());
  EXPECT_EQ(*read_file(dir_, "keep", 100), "canary");
  EXPECT_TRUE(remove_tree(dir_, "tree").has_value()) << "a name that is gone is fine";
}

TEST_F(FileTest, SealedMemfdCanNotBeChanged) {
  put("program", "#!/bin/true");
  auto source = openat(dir_, "program", O_RDONLY);
  auto sealed = sealed_memfd("program", *source);
  ASSERT_TRUE(sealed.has_value()) << sealed.error().message();
  EXPECT_FALSE(write(*sealed, "x", 1).has_value());
  EXPECT_FALSE(ftruncate(*sealed, 0).has_value());
  std::string again = "/proc/self/fd/" + std::to_string(sealed->get());
  auto writable = openat(kCwd, again.c_str(), O_RDWR);
  if (writable) {
    EXPECT_FALSE(write(*writable, "x", 1).has_value());
  }
  EXPECT_EQ(::mmap(nullptr, 1, PROT_WRITE, MAP_SHARED, writable ? writable->get() : -1, 0), MAP_FAILED);
}

TEST_F(FileTest, ErrorsNameCallPathAndReason) {
  auto missing = openat(dir_, "nothing", O_RDONLY);
  ASSERT_FALSE(missing.has_value());
  EXPECT_TRUE(missing.error().is_not_found());
  EXPECT_EQ(missing.error().message(), "openat nothing: No such file or directory");
}

}  // namespace
}  // namespace gantry::sys
