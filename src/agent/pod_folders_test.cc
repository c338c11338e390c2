// SPDX-License-Identifier: Apache-2.0
#include "agent/pod_folders.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace gantry::agent {
namespace {

namespace fs = std::filesystem;

class PodFoldersTest : public testing::Test {
 protected:
  PodFoldersTest() {
    char path[] = "/tmp/gantry-folders-XXXXXX";
    root_ = ::mkdtemp(path);
    EXPECT_TRUE(folders().prepare());
  }
  ~PodFoldersTest() override { fs::remove_all(root_); }

  PodFolders folders() const { return {root_ + "/kubelet", root_ + "/logs", root_ + "/links"}; }
  static void write(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(path).parent_path());
    std::ofstream(path) << text;
  }

  std::string root_;
};

TEST_F(PodFoldersTest, AllOfAPodGoes) {
  write(root_ + "/kubelet/pods/u1/volumes/kubernetes.io~empty-dir/data/file", "x");
  write(root_ + "/logs/default_web_u1/web/0.log", "x");
  ASSERT_TRUE(folders().remove_pod("u1", "default_web_u1"));
  EXPECT_TRUE(fs::is_empty(root_ + "/kubelet/pods"));
  EXPECT_TRUE(fs::is_empty(root_ + "/logs"));
  EXPECT_TRUE(folders().remove_pod("u1", "default_web_u1"));
}

TEST_F(PodFoldersTest, LastWords) {
  auto path = folders().make_termination_log("u1", "web", 0);
  ASSERT_TRUE(path) << path.error().message();
  EXPECT_EQ(folders().read_termination_log(*path), "");
  write(*path, std::string(5000, 'x') + "end");
  std::string text = folders().read_termination_log(*path);
  EXPECT_EQ(text.size(), kMaxTerminationMessage);
  EXPECT_TRUE(text.ends_with("xend"));
  ASSERT_TRUE(folders().make_termination_log("u1", "web", 0));  // a try that failed leaves nothing to the next
  EXPECT_EQ(folders().read_termination_log(*path), "");
  fs::remove(*path);
  fs::create_symlink("/etc/passwd", *path);
  EXPECT_EQ(folders().read_termination_log(*path), "");

  const std::string folder = root_ + "/logs/default_web_u1/web";
  const std::string log = folder + "/0.log";
  write(log,
        "2026-01-01T00:00:00.0Z stdout F one\n2026-01-01T00:00:00.0Z stderr P tw\n2026-01-01T00:00:00.0Z stderr F o\n");
  EXPECT_EQ(folders().read_log_end(log), "one\ntwo\n");
  std::string many;
  for (int i = 0; i < 2000; ++i) many += "2026-01-01T00:00:00.0Z stdout F " + std::to_string(i) + "\n";
  write(log, many);
  std::string end = folders().read_log_end(log);
  EXPECT_EQ(std::ranges::count(end, '\n'), 80);
  EXPECT_TRUE(end.starts_with("1920\n"));
  EXPECT_TRUE(end.ends_with("1999\n"));
  write(log, "2026-01-01T00:00:00.0Z stdout F " + std::string(40'000, 'y') + "\n");
  EXPECT_LE(folders().read_log_end(log).size(), 2048u);
  EXPECT_EQ(folders().read_log_end(folder + "/1.log"), "");
  // Somebody with a hostPath of the logs exchanges the container's folder for a link.
  write(root_ + "/host/0.log", "2026-01-01T00:00:00.0Z stdout F the host's\n");
  fs::remove_all(folder);
  fs::create_symlink(root_ + "/host", folder);
  EXPECT_EQ(folders().read_log_end(log), "");
  EXPECT_FALSE(folders().remove_container_files("u1", "web", 0, "default_web_u1", "web.log"));
  EXPECT_TRUE(fs::exists(root_ + "/host/0.log"));
}

TEST_F(PodFoldersTest, FilesOfARemovedContainerGo) {
  std::string logs = root_ + "/logs/default_web_u1";
  for (const char* name : {"1.log", "1.log.20260101-000000", "11.log", "2.log"}) write(logs + "/web/" + name, "x");
  ASSERT_TRUE(folders().make_termination_log("u1", "web", 1));
  ASSERT_TRUE(folders().link_log("web_default_web-c1.log", logs + "/web/1.log"));
  ASSERT_TRUE(folders().link_log("web_default_web-c1.log", logs + "/web/1.log"));
  ASSERT_TRUE(folders().link_log("web_default_web-c2.log", logs + "/web/2.log"));
  ASSERT_TRUE(folders().remove_container_files("u1", "web", 1, "default_web_u1", "web_default_web-c1.log"));
  EXPECT_FALSE(fs::exists(logs + "/web/1.log"));
  EXPECT_FALSE(fs::exists(logs + "/web/1.log.20260101-000000"));
  EXPECT_TRUE(fs::exists(logs + "/web/11.log"));
  EXPECT_FALSE(fs::is_symlink(root_ + "/links/web_default_web-c1.log"));
  EXPECT_FALSE(fs::exists(root_ + "/kubelet/pods/u1/containers/web/1"));
  // A link to a log that is gone is swept at the next start; others' links stay.
  fs::remove(logs + "/web/2.log");
  fs::create_symlink("/nowhere", root_ + "/links/theirs.log");
  ASSERT_TRUE(folders().prepare());
  EXPECT_FALSE(fs::is_symlink(root_ + "/links/web_default_web-c2.log"));
  EXPECT_TRUE(fs::is_symlink(root_ + "/links/theirs.log"));
}

}  // namespace
}  // namespace gantry::agent
