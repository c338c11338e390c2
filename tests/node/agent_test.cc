// SPDX-License-Identifier: Apache-2.0
// deps: gantry_agent gantry_volumes gantry_kubernetes_proto
// The agent's volumes that are mounts: an emptyDir of medium Memory, made, found again, and taken down.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "agent/pod_folders.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "tests/support/world.h"
#include "volumes/prepare.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
namespace fs = std::filesystem;

constexpr long kTmpfs = 0x01021994;
constexpr long kHugetlbfs = 0x958458f6;
const std::string kData = "/mnt/kubelet/pods/u1/volumes/kubernetes.io~empty-dir/data";

PodFolders folders() { return {"/mnt/kubelet", "/mnt/logs", "/mnt/links"}; }

Result<volumes::PreparedVolumes> prepare(const core::Pod& pod) {
  return volumes::prepare(pod, folders().pod_folder(pod.metadata().uid()));
}

core::Pod pod_in_memory() {
  core::Pod pod;
  pod.mutable_metadata()->set_uid("u1");
  pod.mutable_spec()->mutable_security_context()->set_fs_group(2000);
  auto& volume = *pod.mutable_spec()->add_volumes();
  volume.set_name("data");
  auto& source = *volume.mutable_volume_source()->mutable_empty_dir();
  source.set_medium("Memory");
  source.mutable_size_limit()->set_string("1Mi");
  return pod;
}

TEST(AgentVolumes, EmptyDirInMemory) {
  ASSERT_TRUE(folders().prepare());
  std::size_t mounts = test::count_mounts();
  std::size_t fds = test::count_open_fds();
  auto made = prepare(pod_in_memory());
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(made->at("data").path, kData);
  EXPECT_EQ(test::count_mounts(), mounts + 1);
  struct statfs file_system;
  ASSERT_EQ(::statfs(kData.c_str(), &file_system), 0);
  EXPECT_EQ(file_system.f_type, kTmpfs);
  EXPECT_EQ(file_system.f_blocks * static_cast<std::uint64_t>(file_system.f_bsize), 1U << 20);
  struct stat info;
  ASSERT_EQ(::stat(kData.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 02777u);
  EXPECT_EQ(info.st_gid, 2000u);

  // A restart of gantryd finds it, with what is in it.
  std::ofstream(kData + "/file") << "x";
  ASSERT_TRUE(prepare(pod_in_memory()));
  EXPECT_EQ(test::count_mounts(), mounts + 1);
  EXPECT_TRUE(fs::exists(kData + "/file"));

  auto removed = folders().remove_pod("u1", "default_web_u1");
  ASSERT_TRUE(removed) << removed.error().message();
  EXPECT_EQ(test::count_mounts(), mounts);
  EXPECT_EQ(test::count_open_fds(), fds);
  EXPECT_FALSE(fs::exists("/mnt/kubelet/pods/u1"));
}

// Of the one size that the pod requests. There may be no such pages on this machine: what is made of them is empty.
TEST(AgentVolumes, EmptyDirOfHugePages) {
  ASSERT_TRUE(fs::exists("/sys/kernel/mm/hugepages/hugepages-2048kB")) << "the kernel has huge pages of 2 MiB";
  ASSERT_TRUE(folders().prepare());
  std::size_t mounts = test::count_mounts();
  core::Pod pod = pod_in_memory();
  auto& source = *pod.mutable_spec()->mutable_volumes(0)->mutable_volume_source()->mutable_empty_dir();
  source.mutable_size_limit()->set_string("8Mi");
  auto& requests = *pod.mutable_spec()->add_containers()->mutable_resources()->mutable_requests();
  for (const char* medium : {"HugePages", "HugePages-2Mi"}) {
    requests["hugepages-2Mi"].set_string("8Mi");
    source.set_medium(medium);
    for (int i = 0; i < 2; ++i) {
      auto made = prepare(pod);
      ASSERT_TRUE(made) << made.error().message();
      EXPECT_EQ(test::count_mounts(), mounts + 1) << "once";
    }
    struct statfs file_system;
    ASSERT_EQ(::statfs(kData.c_str(), &file_system), 0);
    EXPECT_EQ(file_system.f_type, kHugetlbfs);
    EXPECT_EQ(file_system.f_bsize, 2 << 20);
    EXPECT_EQ(file_system.f_blocks, 4U);
    struct stat info;
    ASSERT_EQ(::stat(kData.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 02777u);
    EXPECT_EQ(info.st_gid, 2000u);
    auto removed = folders().remove_pod("u1", "default_web_u1");
    ASSERT_TRUE(removed) << removed.error().message();
    EXPECT_EQ(test::count_mounts(), mounts);
    requests["hugepages-1Gi"].set_string("1Gi");
  }
}

// What a container leaves in its volume is removed without being followed.
TEST(AgentVolumes, RemovalStaysInside) {
  ASSERT_TRUE(folders().prepare());
  core::Pod pod = pod_in_memory();
  pod.mutable_spec()->mutable_volumes(0)->mutable_volume_source()->mutable_empty_dir()->clear_medium();
  ASSERT_TRUE(prepare(pod));
  fs::create_directories("/mnt/precious/folder");
  fs::create_symlink("/mnt/precious", kData + "/link");
  // Mounted by somebody within the volume: nothing beneath it is touched.
  fs::create_directories(kData + "/sub");
  ASSERT_EQ(::mount("/mnt/precious", (kData + "/sub").c_str(), nullptr, MS_BIND, nullptr), 0);
  auto removed = folders().remove_pod("u1", "default_web_u1");
  ASSERT_FALSE(removed);
  EXPECT_NE(removed.error().message().find("mounted"), std::string::npos);
  EXPECT_TRUE(fs::exists("/mnt/precious/folder"));
  ASSERT_EQ(::umount("/mnt/kubelet/pods/.u1.going/volumes/kubernetes.io~empty-dir/data/sub"), 0);
  ASSERT_TRUE(folders().remove_pod("u1", "default_web_u1"));
  EXPECT_TRUE(fs::exists("/mnt/precious/folder"));
  EXPECT_FALSE(fs::exists("/mnt/kubelet/pods/u1"));
}

// A file system that answers nobody: FUSE, with nobody who reads its requests.
class HungMount {
 public:
  explicit HungMount(const std::string& path) : device_(::open("/dev/fuse", O_RDWR | O_CLOEXEC)) {
    fs::create_directories(path);
    std::string options = "fd=" + std::to_string(device_) + ",rootmode=40000,user_id=0,group_id=0";
    EXPECT_EQ(::mount("hung", path.c_str(), "fuse", 0, options.c_str()), 0) << std::strerror(errno);
  }
  // Whoever waits is let go first.
  void end(const std::string& path) {
    ::close(device_);
    EXPECT_EQ(::umount2(path.c_str(), MNT_DETACH), 0) << std::strerror(errno);
  }

 private:
  int device_;
};

// Neither what hangs nor what a hostPath leads to is touched while it is there, and all else goes when it has gone.
TEST(AgentVolumes, AHungMountIsLeftAlone) {
  ASSERT_TRUE(folders().prepare());
  core::Pod pod = pod_in_memory();
  pod.mutable_spec()->mutable_volumes(0)->mutable_volume_source()->mutable_empty_dir()->clear_medium();
  ASSERT_TRUE(prepare(pod));
  fs::create_directories("/mnt/precious");
  std::ofstream("/mnt/precious/file") << "kept";
  std::ofstream(kData + "/file") << "x";
  fs::create_directories(kData + "/bind");
  ASSERT_EQ(::mount("/mnt/precious", (kData + "/bind").c_str(), nullptr, MS_BIND, nullptr), 0);
  HungMount hung(kData + "/hung");
  for (int turn = 0; turn < 2; ++turn) {
    auto removed = folders().remove_pod("u1", "default_web_u1");
    ASSERT_FALSE(removed);
    EXPECT_NE(removed.error().message().find("mounted"), std::string::npos) << removed.error().message();
  }
  const std::string going = "/mnt/kubelet/pods/.u1.going/volumes/kubernetes.io~empty-dir/data";
  EXPECT_TRUE(fs::exists(going + "/file")) << "nothing is removed before all of it can be";
  hung.end(going + "/hung");
  ASSERT_FALSE(folders().remove_pod("u1", "default_web_u1"));
  ASSERT_EQ(::umount((going + "/bind").c_str()), 0);
  auto removed = folders().remove_pod("u1", "default_web_u1");
  ASSERT_TRUE(removed) << removed.error().message();
  EXPECT_TRUE(fs::exists("/mnt/precious/file"));
  EXPECT_TRUE(fs::is_empty("/mnt/kubelet/pods"));
}

// One that another process holds busy is said so, and goes when it can.
TEST(AgentVolumes, ABusyVolumeIsNamed) {
  ASSERT_TRUE(folders().prepare());
  ASSERT_TRUE(prepare(pod_in_memory()));
  {
    std::ofstream open(kData + "/file");
    auto removed = folders().remove_pod("u1", "default_web_u1");
    ASSERT_FALSE(removed);
    EXPECT_NE(removed.error().message().find("/volumes/kubernetes.io~empty-dir/data"), std::string::npos);
    // The pod of the same manifest, put back meanwhile, gets volumes of its own.
    ASSERT_TRUE(prepare(pod_in_memory()));
    EXPECT_FALSE(fs::exists(kData + "/file"));
  }
  EXPECT_TRUE(folders().remove_pod("u1", "default_web_u1"));
  EXPECT_TRUE(fs::is_empty("/mnt/kubelet/pods"));
}

}  // namespace
}  // namespace gantry::agent
