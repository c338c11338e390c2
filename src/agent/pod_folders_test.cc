// SPDX-License-Identifier: Apache-2.0
#include "agent/pod_folders.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
namespace fs = std::filesystem;
using testing::HasSubstr;

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
  core::Pod pod_with_host_path(const std::string& path, const std::string& type) {
    core::Pod pod;
    pod.mutable_metadata()->set_uid("u1");
    auto& volume = *pod.mutable_spec()->add_volumes();
    volume.set_name("data");
    volume.mutable_volume_source()->mutable_host_path()->set_path(path);
    volume.mutable_volume_source()->mutable_host_path()->set_type(type);
    return pod;
  }

  std::string root_;
};

TEST_F(PodFoldersTest, EmptyDirsAreMadeOnceForEverybody) {
  core::Pod pod;
  pod.mutable_metadata()->set_uid("u1");
  auto& volume = *pod.mutable_spec()->add_volumes();
  volume.set_name("data");
  volume.mutable_volume_source()->mutable_empty_dir();
  ::umask(027);
  auto paths = folders().prepare_volumes(pod);
  ASSERT_TRUE(paths) << paths.error().message();
  std::string path = root_ + "/kubelet/pods/u1/volumes/kubernetes.io~empty-dir/data";
  EXPECT_EQ(paths->at("data"), path);
  struct stat info;
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0777u);
  // What a container made of it stays.
  fs::permissions(path, fs::perms(0700));
  write(path + "/file", "x");
  ASSERT_TRUE(folders().prepare_volumes(pod));
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
  EXPECT_TRUE(fs::exists(path + "/file"));
  ASSERT_TRUE(folders().remove_pod("u1", "default_web_u1"));
  EXPECT_FALSE(fs::exists(root_ + "/kubelet/pods/u1"));
  EXPECT_TRUE(folders().remove_pod("u1", "default_web_u1"));
}

TEST_F(PodFoldersTest, HostPathsAreOfTheirType) {
  auto try_it = [&](const std::string& path, const std::string& type) {
    auto done = folders().prepare_volumes(pod_with_host_path(path, type));
    return done ? "" : done.error().message();
  };
  EXPECT_EQ(try_it("/dev/null", "CharDevice"), "");
  EXPECT_EQ(try_it("/etc", "Directory"), "");
  EXPECT_EQ(try_it("/etc/passwd", "File"), "");
  EXPECT_EQ(try_it(root_ + "/not-there", ""), "");
  EXPECT_FALSE(fs::exists(root_ + "/not-there"));
  EXPECT_EQ(try_it(root_ + "/a/b", "DirectoryOrCreate"), "");
  EXPECT_TRUE(fs::is_directory(root_ + "/a/b"));
  EXPECT_EQ(try_it(root_ + "/a/file", "FileOrCreate"), "");
  EXPECT_TRUE(fs::is_regular_file(root_ + "/a/file"));
  EXPECT_THAT(try_it("/etc/passwd", "Directory"),
              HasSubstr("volume \"data\": hostPath type check failed: /etc/passwd is a file"));
  EXPECT_THAT(try_it("/etc", "BlockDevice"), HasSubstr("type BlockDevice"));
  EXPECT_THAT(try_it("/dev/null", "Socket"), HasSubstr("a character device"));
  EXPECT_THAT(try_it(root_ + "/no/file", "FileOrCreate"), HasSubstr("No such file"));
  EXPECT_THAT(try_it(root_ + "/nothing", "File"), HasSubstr("No such file"));
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

  std::string log = root_ + "/log";
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
  EXPECT_EQ(folders().read_log_end(root_ + "/nothing"), "");
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
