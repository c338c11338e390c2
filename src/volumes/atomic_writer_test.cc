// SPDX-License-Identifier: Apache-2.0
#include "volumes/atomic_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "sys/file.h"

namespace gantry::volumes {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

class AtomicWriterTest : public testing::Test {
 protected:
  AtomicWriterTest() {
    char path[] = "/tmp/gantry-writer-XXXXXX";
    root_ = ::mkdtemp(path);
    ::umask(027);
  }
  ~AtomicWriterTest() override { fs::remove_all(root_); }

  bool write(const Payload& payload, std::optional<gid_t> group = {}) {
    auto folder = sys::openat(sys::kCwd, root_.c_str(), O_RDONLY | O_DIRECTORY);
    auto done = write_payload(*folder, payload, group);
    EXPECT_TRUE(done) << (done ? "" : done.error().message());
    return done && *done;
  }
  std::string error_of(const Payload& payload) {
    auto folder = sys::openat(sys::kCwd, root_.c_str(), O_RDONLY | O_DIRECTORY);
    auto done = write_payload(*folder, payload, {});
    return done ? "" : done.error().message();
  }
  std::string read(const std::string& path) {
    std::ifstream file(root_ + "/" + path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  mode_t mode(const std::string& path) {
    struct stat info{};
    EXPECT_EQ(::stat((root_ + "/" + path).c_str(), &info), 0);
    return info.st_mode & 07777;
  }
  // What a container sees, and how many folders of the writer's there are.
  std::vector<std::string> names() {
    std::vector<std::string> out;
    folders_ = 0;
    for (const auto& entry : fs::directory_iterator(root_)) {
      const std::string name = entry.path().filename();
      if (!name.starts_with("..")) out.push_back(name);
      folders_ += name.starts_with("..") && fs::is_directory(fs::symlink_status(entry.path()));
    }
    return out;
  }

  std::string root_;
  int folders_ = 0;
};

TEST_F(AtomicWriterTest, WritesOnceAndSwapsWhole) {
  const Payload first{{"a", {"1", 0400, {}}}, {"sub/deep/b", {"2", 0644, {}}}, {"sub/c", {"3", 0600, {}}}};
  EXPECT_TRUE(write(first));
  EXPECT_THAT(names(), UnorderedElementsAre("a", "sub"));
  EXPECT_EQ(folders_, 1);
  EXPECT_EQ(read("a") + read("sub/deep/b") + read("sub/c"), "123");
  EXPECT_EQ(mode("a"), 0400U);
  EXPECT_EQ(mode("sub/deep"), 0755U);
  EXPECT_EQ(fs::read_symlink(root_ + "/a"), "..data/a");
  const auto target = fs::read_symlink(root_ + "/..data");
  EXPECT_TRUE(target.string().starts_with("..2")) << target;
  EXPECT_FALSE(write(first));
  EXPECT_EQ(fs::read_symlink(root_ + "/..data"), target);

  EXPECT_TRUE(write({{"a", {"1", 0400, {}}}, {"d", {"4", 0644, {}}}}));
  EXPECT_THAT(names(), UnorderedElementsAre("a", "d"));
  EXPECT_EQ(folders_, 1);
  EXPECT_TRUE(write({{"a", {"1", 0444, {}}}, {"d", {"4", 0644, {}}}})) << "the mode is another one";
  EXPECT_TRUE(write({}));
  EXPECT_THAT(names(), ElementsAre());
  EXPECT_FALSE(write({}));
}

TEST_F(AtomicWriterTest, ALargeFileAndAnyBytes) {
  const std::string bytes = std::string(1 << 20, 'x') + std::string("\0\n", 2);
  EXPECT_TRUE(write({{"a", {bytes, 0644, {}}}}));
  EXPECT_EQ(read("a"), bytes);
  EXPECT_FALSE(write({{"a", {bytes, 0644, {}}}}));
}

TEST_F(AtomicWriterTest, WhereverItWasKilledItComesRight) {
  const Payload payload{{"a", {"1", 0644, {}}}, {"sub/b", {"2", 0644, {}}}};
  const auto is_right = [&] {
    EXPECT_EQ(read("a") + read("sub/b"), "12");
    EXPECT_THAT(names(), UnorderedElementsAre("a", "sub"));
    EXPECT_EQ(folders_, 1);
    EXPECT_FALSE(fs::exists(fs::symlink_status(root_ + "/..data_tmp")));
  };
  // In the middle of the files.
  fs::create_directories(root_ + "/..2020_01_01_00_00_00.000000001/sub");
  std::ofstream(root_ + "/..2020_01_01_00_00_00.000000001/a") << "ha";
  EXPECT_TRUE(write(payload));
  is_right();
  // Before the swap.
  fs::create_directory_symlink("..2020", root_ + "/..data_tmp");
  EXPECT_FALSE(write(payload));
  is_right();
  fs::create_directory_symlink("..2020", root_ + "/..data_tmp");
  std::ofstream(root_ + "/..data/a") << "cut";
  EXPECT_TRUE(write(payload)) << "what is on the disk is not what was written";
  is_right();
  // After the swap, before what is not wanted any more was removed.
  fs::remove(root_ + "/a");
  fs::create_directory_symlink("..data/old", root_ + "/old");
  EXPECT_FALSE(write(payload));
  is_right();
  // Something that is no link of ours.
  fs::remove(root_ + "/..data");
  fs::create_directories(root_ + "/..data/x");
  fs::remove(root_ + "/a");
  fs::create_directories(root_ + "/a/x");
  EXPECT_TRUE(write(payload));
  is_right();
}

TEST_F(AtomicWriterTest, FollowsNoLinkAndLeavesWhatIsOfOthers) {
  const std::string outside = root_ + "-outside";
  fs::create_directory(outside);
  std::ofstream(outside + "/kept") << "x";
  fs::create_directory_symlink(outside, root_ + "/..data");
  fs::create_directory_symlink(outside, root_ + "/sub");
  fs::create_directory_symlink(outside, root_ + "/..old");
  std::ofstream(root_ + "/mine") << "x";
  EXPECT_TRUE(write({{"sub/b", {"2", 0644, {}}}}));
  EXPECT_EQ(read("sub/b"), "2");
  EXPECT_THAT(names(), UnorderedElementsAre("sub", "mine"));
  EXPECT_TRUE(fs::exists(outside + "/kept"));
  EXPECT_FALSE(fs::exists(outside + "/b"));
  fs::remove_all(outside);
}

TEST_F(AtomicWriterTest, AGroupReadsAll) {
  const gid_t group = ::getgid();
  EXPECT_TRUE(write({{"a", {"1", 0400, {}}}, {"sub/b", {"2", 0600, ::getuid()}}}, group));
  EXPECT_EQ(mode("a"), 0440U);
  EXPECT_EQ(mode("sub/b"), 0640U);
  EXPECT_EQ(mode("..data"), 02755U);
  EXPECT_EQ(mode("sub"), 02755U);
  EXPECT_FALSE(write({{"a", {"1", 0400, {}}}, {"sub/b", {"2", 0600, ::getuid()}}}, group));
}

TEST_F(AtomicWriterTest, WrongPathsAreRefused) {
  EXPECT_EQ(payload_path("./a//b/").value_or(""), "a/b");
  for (const char* path : {"", "/a", "a/../b", "..", "..data", ".", "./..x"}) {
    EXPECT_FALSE(payload_path(path)) << path;
  }
  EXPECT_FALSE(payload_path(std::string(256, 'a')));
  EXPECT_FALSE(payload_path(std::string("a\0b", 3)));
  EXPECT_THAT(payload_path("a/..b").value_or(""), "a/..b");
  EXPECT_THAT(error_of({{"a", {"1", 0644, {}}}, {"a/b", {"2", 0644, {}}}}), HasSubstr("there is a file at \"a\""));
  EXPECT_THAT(names(), ElementsAre());
  EXPECT_EQ(folders_, 0);
}

}  // namespace
}  // namespace gantry::volumes
