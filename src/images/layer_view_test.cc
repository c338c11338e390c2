// SPDX-License-Identifier: Apache-2.0
#include "images/layer_view.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "sys/file.h"

namespace gantry::images {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// Layers as folders "a" (topmost) and "b". Whiteouts and opaque folders need root: tests/node/images_test.cc has them.
class LayerViewTest : public ::testing::Test {
 protected:
  LayerViewTest() {
    char name[] = "/tmp/gantry-layer-view-XXXXXX";
    root_ = ::mkdtemp(name);
    fs::create_directory(root_ / "a");
    fs::create_directory(root_ / "b");
  }
  ~LayerViewTest() override { fs::remove_all(root_); }

  void file(const std::string& path, const std::string& bytes) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << bytes;
  }
  void link(const std::string& path, const std::string& target) {
    fs::create_directories((root_ / path).parent_path());
    fs::create_symlink(target, root_ / path);
  }
  Result<std::optional<std::string>> read(std::string_view path, std::size_t limit = LayerView::kFileLimit) {
    auto store = sys::open_dir(sys::kCwd, root_.c_str());
    auto view = LayerView::open(*store, {"a", "b"});
    if (!view) return std::unexpected(view.error());
    return view->read_file(path, limit);
  }
  std::string text(std::string_view path) {
    auto bytes = read(path);
    if (!bytes) return "error: " + bytes.error().message();
    return bytes->value_or("absent");
  }

  fs::path root_;
};

TEST_F(LayerViewTest, TheTopmostFileWins) {
  file("b/etc/passwd", "lower");
  file("b/etc/group", "group");
  EXPECT_EQ(text("etc/passwd"), "lower");
  file("a/etc/passwd", "upper");
  EXPECT_EQ(text("/etc//./passwd"), "upper");
  EXPECT_EQ(text("etc/group"), "group") << "folders merge";
  EXPECT_EQ(text("etc/shadow"), "absent");
  EXPECT_EQ(text("etc/passwd/x"), "absent");
}

TEST_F(LayerViewTest, AFileHidesAFolderBelow) {
  file("b/etc/passwd", "lower");
  file("a/etc", "a file");
  EXPECT_EQ(text("etc/passwd"), "absent");
}

TEST_F(LayerViewTest, AFolderOverAFileStandsAlone) {
  file("b/etc", "a file");
  file("a/etc/passwd", "upper");
  EXPECT_EQ(text("etc/passwd"), "upper");
}

TEST_F(LayerViewTest, LinksLeadThroughTheStackAndNeverOut) {
  file("b/usr/etc/passwd", "inside");
  link("a/etc", "/usr/etc");
  EXPECT_EQ(text("etc/passwd"), "inside");
  link("a/x/y/up", "../../../../../../usr/etc/passwd");
  EXPECT_EQ(text("x/y/up"), "inside") << "'..' ends at the root";
  link("a/host", "/../../../etc/hostname");
  EXPECT_EQ(text("host"), "absent");
  link("a/dots", "usr/../usr/./etc/../etc/passwd");
  EXPECT_EQ(text("dots"), "inside");
  EXPECT_EQ(text("x/nothing/../../dots"), "absent") << "'..' needs what is before it";
}

TEST_F(LayerViewTest, LinksAreBounded) {
  link("a/loop", "loop");
  EXPECT_THAT(text("loop"), HasSubstr("symlinks on the way"));
  link("a/x", "y/y");
  link("a/y", "x/x");
  EXPECT_THAT(text("x"), HasSubstr("error"));
}

TEST_F(LayerViewTest, OnlyRegularFilesOfBoundedSizeAreRead) {
  fs::create_directories(root_ / "a/etc/folder");
  ASSERT_EQ(::mkfifo((root_ / "a/etc/fifo").c_str(), 0600), 0);
  link("a/etc/zero", "/dev/zero");
  EXPECT_THAT(text("etc/fifo"), HasSubstr("no regular file"));
  EXPECT_THAT(text("etc/folder"), HasSubstr("no regular file"));
  EXPECT_EQ(text("etc/zero"), "absent");
  file("a/etc/passwd", "12345");
  EXPECT_EQ(read("etc/passwd", 5)->value(), "12345");
  EXPECT_TRUE(read("etc/passwd", 4).error().is_resource());
  file("a/etc/huge", "");
  fs::resize_file(root_ / "a/etc/huge", 8ULL << 30);
  auto huge = read("etc/huge");
  ASSERT_FALSE(huge);
  EXPECT_TRUE(huge.error().is_resource());
  EXPECT_THAT(huge.error().message(), HasSubstr("at most 1048576"));
}

TEST_F(LayerViewTest, FoldersTellOwnerAndMode) {
  auto info = [&](const char* path) {
    struct stat info{};
    EXPECT_EQ(::stat((root_ / path).c_str(), &info), 0);
    return info.st_mode & 07777;
  };
  fs::create_directories(root_ / "b/var/tmp");
  ::chmod((root_ / "b/var/tmp").c_str(), 01777);
  file("a/var/x", "");
  auto store = sys::open_dir(sys::kCwd, root_.c_str());
  auto view = LayerView::open(*store, {"a", "b"});
  ASSERT_TRUE(view);
  fs::create_directories(root_ / "a/opt");
  fs::create_directories(root_ / "b/opt/deep/er");
  ::chmod((root_ / "b/opt/deep/er").c_str(), 0711);
  fs::create_directories(root_ / "b/var/lib/x");
  ::chmod((root_ / "b/var/lib").c_str(), 0750);
  std::uint64_t lookups = 1000;
  LayerView::Trail trail(*view, lookups);
  auto mode = [&](std::string_view path) -> std::optional<unsigned> {
    auto folder = trail.to(path);
    EXPECT_TRUE(folder) << folder.error().message();
    if (!folder || !*folder) return std::nullopt;
    return (*folder)->mode;
  };
  EXPECT_EQ(mode("var/tmp"), 01777U);
  EXPECT_EQ(mode("var/x"), std::nullopt) << "a file";
  EXPECT_EQ(mode("var/x/y"), std::nullopt);
  EXPECT_EQ(mode("nothing/at/all"), std::nullopt);
  EXPECT_EQ(mode(""), info("a"));
  EXPECT_EQ(mode("opt/deep/er"), 0711U) << "in the lower layer alone";
  EXPECT_EQ(mode("opt"), info("a/opt"));
  EXPECT_EQ(mode("opt/deep/er"), 0711U);
  EXPECT_EQ(mode("var/lib"), 0750U);
  const std::uint64_t before = lookups;
  EXPECT_EQ(mode("var/lib/x"), info("b/var/lib/x"));
  EXPECT_EQ(before - lookups, 1U) << "what is above it is known, and one layer has it";
  lookups = 3;
  auto spent = trail.to("opt/deep/er");
  ASSERT_FALSE(spent);
  EXPECT_TRUE(spent.error().is_resource());
}

}  // namespace
}  // namespace gantry::images
