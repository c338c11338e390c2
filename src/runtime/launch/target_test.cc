// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/launch/steps.h"
#include "sys/file.h"
#include "tests/support/tree.h"

namespace gantry::runtime {
namespace {

class TargetTest : public ::testing::Test {
 public:
  TargetTest() {
    (void)sys::mkdirat(tree_.dir(), "root", 0755);
    root_ = std::move(*sys::open_dir(tree_.dir(), "root"));
  }
  // What `path` beneath the root is, by the kernel's resolution outside of it.
  bool is_there(const std::string& path) { return sys::fstatat(root_, path.c_str(), AT_SYMLINK_NOFOLLOW).has_value(); }
  std::string error_of(const char* path, bool is_file, bool no_links) {
    auto made = ensure_target(root_, path, is_file, no_links ? sys::Resolve::kNoSymlinks : sys::Resolve::kNone);
    return made ? "" : made.error().message();
  }

  test::Tree tree_{{"canary/file", "untouched"}};
  DirFd root_;
};

TEST_F(TargetTest, MakesWhatIsMissing) {
  EXPECT_EQ(error_of("/a/b/c/", false, false), "");
  EXPECT_EQ(error_of("a//b/./file", true, true), "");
  EXPECT_TRUE(is_there("a/b/c"));
  EXPECT_TRUE(S_ISREG(sys::fstatat(root_, "a/b/file", 0)->st_mode));
  EXPECT_EQ(error_of("a/b/file", true, false), "");
  EXPECT_EQ(error_of("/", false, false), "");
  EXPECT_NE(error_of("", true, false), "");
  EXPECT_NE(error_of("/", true, false), "");
  EXPECT_NE(error_of(std::string(5000, 'x').c_str(), true, false), "");
  EXPECT_NE(error_of("a/b/file/below", true, false), "");
}

TEST_F(TargetTest, NothingLeadsOut) {
  std::string outside = tree_.path() + "/canary";
  ASSERT_TRUE(sys::symlinkat(outside.c_str(), root_, "absolute").has_value());
  ASSERT_TRUE(sys::symlinkat("../canary", root_, "relative").has_value());
  ASSERT_TRUE(sys::symlinkat("relative", root_, "chain").has_value());
  for (const char* link : {"absolute", "relative", "chain"}) {
    EXPECT_EQ(error_of((std::string(link) + "/made/here").c_str(), false, false), "") << link;
    EXPECT_EQ(error_of((std::string(link) + "/made/file").c_str(), true, false), "") << link;
    EXPECT_NE(error_of((std::string(link) + "/x").c_str(), false, true), "") << link;
    EXPECT_NE(error_of(link, false, true), "") << link;
  }
  EXPECT_EQ(error_of("../../../canary/escape", true, false), "");
  EXPECT_TRUE(is_there("canary/escape"));
  EXPECT_TRUE(is_there(outside.substr(1) + "/made/file"));
  EXPECT_EQ(sys::list_dir(*sys::open_dir(tree_.dir(), "canary"))->size(), 1U);
}

TEST_F(TargetTest, LinksThatLeadNowhereGetTheirTarget) {
  ASSERT_TRUE(sys::mkdirat(root_, "etc", 0755).has_value());
  ASSERT_TRUE(sys::symlinkat("../run/systemd/stub.conf", root_, "etc/resolv.conf").has_value());
  EXPECT_EQ(error_of("/etc/resolv.conf", true, false), "");
  EXPECT_TRUE(S_ISREG(sys::fstatat(root_, "run/systemd/stub.conf", 0)->st_mode));
  ASSERT_TRUE(sys::symlinkat("/var/lib/data", root_, "data").has_value());
  EXPECT_EQ(error_of("data/below", false, false), "");
  EXPECT_TRUE(is_there("var/lib/data/below"));
  ASSERT_TRUE(sys::symlinkat("loop", root_, "loop").has_value());
  EXPECT_NE(error_of("loop", true, false), "");
  EXPECT_NE(error_of("loop/x", false, false), "");
  for (int i = 0; i < 12; ++i) {
    ASSERT_TRUE(
        sys::symlinkat(("n" + std::to_string(i + 1)).c_str(), root_, ("n" + std::to_string(i)).c_str()).has_value());
  }
  EXPECT_EQ(error_of("n4", true, false), "");
}

TEST(PlanBytesTest, ClonesNeedAReadablePlan) {
  EXPECT_FALSE(clone_needs({}).has_value());
  std::string garbage(64, '\xff');
  EXPECT_FALSE(clone_needs(garbage).has_value());
  EXPECT_FALSE(decode_report("").has_value());
  EXPECT_FALSE(decode_report("\2\1").has_value());
  EXPECT_EQ(decode_report(std::string_view("\2\5\0\0\0why", 8))->message, "why");
  // As a launch sends a reason that is too long: cut at a byte.
  std::string cut("\2\5\0\0\0./", 7);
  while (cut.size() < kMaxReport) cut += "\u00e9";
  cut.resize(kMaxReport);
  EXPECT_EQ(cut.back(), '\xc3');
  auto message = decode_report(cut)->message;
  EXPECT_TRUE(message.ends_with("\u00e9...")) << message;
  EXPECT_EQ(decode_report(std::string_view("\2\5\0\0\0w\xe9", 7))->message, "w\\xe9");
}

}  // namespace
}  // namespace gantry::runtime
