// SPDX-License-Identifier: Apache-2.0
#include "cri/checkpoint_archive.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "sys/file.h"

namespace gantry::cri {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view kConfig = R"({"rootfsImageRef":"a@sha256:1","rootfsImageName":"a:1","x":[{}]})";

class CheckpointArchiveTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/gantry-checkpoint-archive-test-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    name_ = path + 5;
    dir_ = *sys::open_dir(sys::kCwd, path);
    put("config.dump", kConfig);
    ASSERT_TRUE(sys::mkdirat(dir_, "checkpoint", 0700));
    put("checkpoint/inventory.img", "x");
    put("checkpoint/pages-1.img", "x");
  }
  void TearDown() override { EXPECT_TRUE(sys::remove_tree(*sys::open_dir(sys::kCwd, "/tmp"), name_.c_str())); }

  void put(const char* name, std::string_view bytes) {
    ASSERT_TRUE(sys::write_all(*sys::openat(dir_, name, O_CREAT | O_WRONLY | O_TRUNC, 0600), bytes));
  }
  bool has(const char* name) { return sys::fstatat(dir_, name, AT_SYMLINK_NOFOLLOW).has_value(); }
  std::string refusal() {
    auto taken = take_unpacked(dir_);
    return taken ? "" : taken.error().message();
  }

  std::string name_;
  DirFd dir_;
};

TEST_F(CheckpointArchiveTest, KeepsWhatAStartNeeds) {
  put("rootfs-diff.tar", "x");
  put("status.dump", "x");
  put("deleted.files", "[]");
  ASSERT_TRUE(sys::mkdirat(dir_, "volumes", 0700));
  ASSERT_TRUE(sys::symlinkat("/etc/passwd", dir_, "volumes/link"));
  auto base = take_unpacked(dir_);
  ASSERT_TRUE(base) << base.error().message();
  EXPECT_THAT(*base, ElementsAre("a@sha256:1", "a:1"));
  EXPECT_TRUE(has("rootfs-diff.tar") && has("checkpoint/pages-1.img"));
  EXPECT_FALSE(has("status.dump") || has("volumes") || has("config.dump"));
}

TEST_F(CheckpointArchiveTest, RefusesWhatIsNoPlainFileByItsName) {
  ASSERT_TRUE(sys::symlinkat("/etc/shadow", dir_, "checkpoint/core-1.img"));
  EXPECT_THAT(refusal(), HasSubstr("checkpoint: \"core-1.img\" is no plain file"));
  ASSERT_TRUE(sys::unlinkat(dir_, "checkpoint/core-1.img", 0));
  put("config.dump", kConfig);
  ASSERT_TRUE(sys::linkat(dir_, "checkpoint/pages-1.img", dir_, "checkpoint/pages-2.img", 0));
  EXPECT_THAT(refusal(), HasSubstr("is no plain file"));
  ASSERT_TRUE(sys::unlinkat(dir_, "checkpoint/pages-2.img", 0));
  put("config.dump", kConfig);
  ASSERT_TRUE(sys::mkdirat(dir_, "checkpoint/folder", 0700));
  EXPECT_THAT(refusal(), HasSubstr("\"folder\" is no plain file"));
  ASSERT_TRUE(sys::unlinkat(dir_, "checkpoint/folder", AT_REMOVEDIR));
  put("config.dump", kConfig);
  ASSERT_TRUE(sys::symlinkat("/etc/shadow", dir_, "rootfs-diff.tar"));
  EXPECT_THAT(refusal(), HasSubstr("\"rootfs-diff.tar\" is no plain file"));
}

TEST_F(CheckpointArchiveTest, RefusesWhatIsNoCheckpoint) {
  ASSERT_TRUE(sys::unlinkat(dir_, "checkpoint/inventory.img", 0));
  EXPECT_THAT(refusal(), HasSubstr("no inventory.img"));
  ASSERT_TRUE(sys::remove_tree(dir_, "checkpoint"));
  ASSERT_TRUE(sys::symlinkat("/etc", dir_, "checkpoint"));
  put("config.dump", kConfig);
  EXPECT_THAT(refusal(), HasSubstr("checkpoint"));
  EXPECT_THAT(refusal(), HasSubstr("has no config.dump"));
  ASSERT_TRUE(sys::symlinkat("/etc/passwd", dir_, "config.dump"));
  EXPECT_THAT(refusal(), HasSubstr("has no config.dump"));
}

TEST_F(CheckpointArchiveTest, RefusesWhatIsRemovedByAList) {
  put("deleted.files", R"(["etc/group"])");
  EXPECT_THAT(refusal(), HasSubstr("deleted.files"));
}

TEST(CheckpointBaseTest, NamesTheImage) {
  EXPECT_THAT(*parse_checkpoint_base(R"({"rootfsImage":"b"})"), ElementsAre("b"));
  for (const char* text : {"", "[]", "{}", R"({"rootfsImageRef":7})", R"({"rootfsImageRef":""})", "{"}) {
    EXPECT_FALSE(parse_checkpoint_base(text)) << text;
  }
  EXPECT_FALSE(parse_checkpoint_base(R"({"rootfsImage":")" + std::string(5000, 'a') + "\"}"));
}

}  // namespace
}  // namespace gantry::cri
