// SPDX-License-Identifier: Apache-2.0
#include "sys/file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace gantry::sys {
namespace {

class FileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/dev/shm/gantry-file-test-XXXXXX";  // memory: tens of thousands of names in no time
    ASSERT_NE(::mkdtemp(path), nullptr);
    path_ = path;
    auto dir = open_dir(kCwd, path);
    ASSERT_TRUE(dir.has_value());
    dir_ = std::move(*dir);
  }
  void TearDown() override {
    dir_.close();
    auto parent = open_dir(kCwd, "/dev/shm");
    EXPECT_TRUE(remove_tree(*parent, path_.substr(path_.rfind('/') + 1).c_str()));
  }
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

// As `while mkdir a && cd a; do :; done` makes it.
void make_levels(FdRef dir, int levels, bool with_file) {
  auto at = openat(dir, ".", O_RDONLY | O_DIRECTORY);
  for (int level = 0; level < levels; ++level) {
    ASSERT_TRUE(mkdirat(*at, "a", 0700));
    if (with_file) {
      ASSERT_TRUE(openat(*at, "f", O_CREAT | O_WRONLY, 0600));
    }
    *at = std::move(*openat(*at, "a", O_RDONLY | O_DIRECTORY));
  }
}

class FewDescriptors {
 public:
  FewDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit few{100, before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &few);
  }
  ~FewDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

TEST_F(FileTest, RemoveTreeTakesFoldersOfAnyDepthWithFewDescriptors) {
  make_levels(dir_, 5000, true);
  FewDescriptors few;
  auto removed = remove_tree(dir_, "a");
  ASSERT_TRUE(removed) << removed.error().message();
  EXPECT_EQ(*list_dir(dir_), std::vector<std::string>{"f"});
}

TEST_F(FileTest, RemoveTreeTakesFoldersOfAnySize) {
  ASSERT_TRUE(mkdirat(dir_, "tree", 0700));
  make_levels(*open_dir(dir_, "tree"), 70, false);
  auto deep = openat(dir_, "tree", O_RDONLY | O_DIRECTORY);
  for (int level = 0; level < 70; ++level) *deep = std::move(*openat(*deep, "a", O_RDONLY | O_DIRECTORY));
  auto top = open_dir(dir_, "tree");
  for (int i = 0; i < 20000; ++i) {
    FdRef folder = i % 2 == 0 ? deep->ref() : top->ref();
    std::string name = "name" + std::to_string(i);
    // Files, and folders that are not empty.
    if (i % 10 < 8) {
      ASSERT_TRUE(openat(folder, name.c_str(), O_CREAT | O_WRONLY, 0600));
    } else {
      ASSERT_TRUE(mkdirat(folder, name.c_str(), 0700));
      ASSERT_TRUE(openat(folder, (name + "/f").c_str(), O_CREAT | O_WRONLY, 0600));
    }
  }
  EXPECT_EQ(list_dir(*top)->size(), 10001U);
  auto removed = remove_tree(dir_, "tree");
  ASSERT_TRUE(removed) << removed.error().message();
  EXPECT_TRUE(list_dir(dir_)->empty());
}

TEST_F(FileTest, RemoveTreeGoesOnWhereAKilledOneStopped) {
  for (int turn = 0; turn < 5; ++turn) {
    ASSERT_TRUE(mkdirat(dir_, "tree", 0700));
    make_levels(*open_dir(dir_, "tree"), 1000, true);
    pid_t child = ::fork();
    if (child == 0) {
      (void)remove_tree(dir_, "tree");
      ::_exit(0);
    }
    ::usleep(1000 * turn);  // wherever it is then
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    auto removed = remove_tree(dir_, "tree");
    ASSERT_TRUE(removed) << removed.error().message();
    ASSERT_TRUE(list_dir(dir_)->empty()) << "all that was left lay within the tree";
  }
}

TEST_F(FileTest, TwoMayRemoveTheSameTree) {
  ASSERT_TRUE(mkdirat(dir_, "tree", 0700));
  make_levels(*open_dir(dir_, "tree"), 2000, true);
  pid_t child = ::fork();
  if (child == 0) ::_exit(remove_tree(dir_, "tree") ? 0 : 1);
  auto removed = remove_tree(dir_, "tree");
  EXPECT_TRUE(removed) << removed.error().message();
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(list_dir(dir_)->empty());
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
