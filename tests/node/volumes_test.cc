// SPDX-License-Identifier: Apache-2.0
// deps: gantry_volumes gantry_kubernetes_all_proto
// Places within volumes, bound for containers: none leads out of its volume, whatever is written into it meanwhile.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "kubernetes/core/v1/persistent_volume.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "tests/support/world.h"
#include "volumes/prepare.h"
#include "volumes/sub_path.h"

namespace gantry::volumes {
namespace {

namespace core = k8s::io::api::core::v1;
namespace fs = std::filesystem;

const std::string kPod = "/mnt/pod";
const std::string kVolume = "/mnt/volume";

void write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }
std::string read(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}
Result<std::string> bind_part(const std::string& path, int index = 0) {
  return bind_sub_path(kPod, {.volume = "v", .container = "web", .index = index, .volume_path = kVolume, .path = path});
}
mode_t mode_of(const std::string& path) {
  struct stat info{};
  EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

gid_t group_of(const std::string& path) {
  struct stat info{};
  EXPECT_EQ(::lstat(path.c_str(), &info), 0) << path;
  return info.st_gid;
}

// The world is the program's: each test has it for itself.
class SubPaths : public testing::Test {
 protected:
  SubPaths() {
    for (const auto& entry : fs::directory_iterator("/mnt")) fs::remove_all(entry);
  }
};
using PersistentVolumes = SubPaths;

TEST_F(SubPaths, AreBoundAndUnbound) {
  fs::create_directories(kVolume + "/data/inner");
  write(kVolume + "/data/file", "text");
  fs::create_symlink("data", kVolume + "/link");
  fs::create_symlink("../data/file", kVolume + "/data/up");
  std::size_t mounts = test::count_mounts();
  std::size_t fds = test::count_open_fds();
  auto folder = bind_part("data", 0);
  ASSERT_TRUE(folder) << folder.error().message();
  EXPECT_EQ(*folder, kPod + "/volume-subpaths/v/web/0");
  EXPECT_EQ(read(*folder + "/file"), "text");
  auto file = bind_part("link/file", 1);
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_EQ(read(*file), "text");
  auto up = bind_part("data/up", 2);
  ASSERT_TRUE(up) << up.error().message();
  EXPECT_EQ(read(*up), "text");
  EXPECT_EQ(test::count_mounts(), mounts + 3);
  // Of the next container that has the name: what the path leads to now, of another kind than before.
  ASSERT_TRUE(bind_part("data/file", 0));
  EXPECT_EQ(read(kPod + "/volume-subpaths/v/web/0"), "text");
  EXPECT_EQ(test::count_mounts(), mounts + 3);
  auto gone = unmount(kPod);
  ASSERT_TRUE(gone) << gone.error().message();
  EXPECT_EQ(test::count_mounts(), mounts);
  EXPECT_EQ(test::count_open_fds(), fds);
  EXPECT_EQ(read(kVolume + "/data/file"), "text");
}

// As the root of a machine with systemd is.
TEST_F(SubPaths, WhatIsMountedBelowThePlaceOutlivesThem) {
  fs::create_directories(kVolume + "/data/below");
  ASSERT_EQ(::mount(nullptr, "/mnt", nullptr, MS_SHARED, nullptr), 0);
  auto folder = bind_part("data", 0);
  ASSERT_TRUE(folder) << folder.error().message();
  ASSERT_EQ(::mount("tmpfs", (kVolume + "/data/below").c_str(), "tmpfs", 0, nullptr), 0);
  write(kVolume + "/data/below/file", "text");
  EXPECT_EQ(read(*folder + "/below/file"), "text");
  ASSERT_TRUE(bind_part("data", 0));
  ASSERT_TRUE(unmount(kPod));
  EXPECT_EQ(read(kVolume + "/data/below/file"), "text");
  ASSERT_EQ(::umount2((kVolume + "/data/below").c_str(), 0), 0);
  ASSERT_EQ(::mount(nullptr, "/mnt", nullptr, MS_PRIVATE, nullptr), 0);
}

TEST_F(SubPaths, WhatIsMissingIsMade) {
  fs::create_directories(kVolume + "/there");
  ASSERT_EQ(::chown(kVolume.c_str(), 0, 2000), 0);
  ASSERT_EQ(::chmod(kVolume.c_str(), 02770), 0);
  fs::create_symlink("there", kVolume + "/link");
  ::umask(027);
  auto made = bind_part("link/a/./b//c/");
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(mode_of(kVolume + "/there/a"), 02770U);
  EXPECT_EQ(mode_of(kVolume + "/there/a/b/c"), 02770U);
  write(*made + "/file", "x");
  EXPECT_EQ(read(kVolume + "/there/a/b/c/file"), "x");
  write(kVolume + "/file", "x");
  EXPECT_FALSE(bind_part("file/below"));
  std::string deep;
  for (int i = 0; i < 200; ++i) deep += "d/";
  EXPECT_FALSE(bind_part(deep));
  EXPECT_FALSE(fs::exists(kVolume + "/d"));
  ASSERT_TRUE(unmount(kPod));
}

TEST_F(SubPaths, NoLinkLeadsOut) {
  fs::create_directories(kVolume);
  fs::create_directories("/mnt/host/secret");
  const std::size_t mounts = test::count_mounts();
  for (const char* target : {"/", "/mnt/host", "..", "../host", "/proc/self/root", "/proc/self/cwd", "/mnt/nothing",
                             "../nothing", "nothing"}) {
    fs::remove(kVolume + "/link");
    fs::create_symlink(target, kVolume + "/link");
    EXPECT_FALSE(bind_part("link")) << target;
    EXPECT_FALSE(bind_part("link/host/secret")) << target;
    EXPECT_FALSE(bind_part("link/new/folder")) << target;
  }
  for (const char* path : {"/", "..", "a/../b", "../host", "a/.."}) EXPECT_FALSE(bind_part(path)) << path;
  EXPECT_FALSE(fs::exists("/mnt/nothing"));
  EXPECT_FALSE(fs::exists("/mnt/host/new"));
  EXPECT_EQ(test::count_mounts(), mounts);
}

// CVE-2021-25741: somebody exchanges a folder with a link all the while.
TEST_F(SubPaths, ExchangedLinksDontLeadOut) {
  fs::create_directories(kVolume + "/place/sub");
  write(kVolume + "/place/sub/whose", "ours");
  fs::create_directories("/mnt/host/sub");
  write("/mnt/host/sub/whose", "the host's");
  fs::create_symlink("/mnt/host", kVolume + "/evil");
  std::atomic<bool> is_over = false;
  std::thread attacker([&] {
    while (!is_over) {
      ::renameat2(AT_FDCWD, (kVolume + "/place").c_str(), AT_FDCWD, (kVolume + "/evil").c_str(), RENAME_EXCHANGE);
    }
  });
  int bound = 0, refused = 0;
  for (int i = 0; i < 2000; ++i) {
    auto place = bind_part(i % 2 == 0 ? "place/sub" : "place/sub/made");
    place ? ++bound : ++refused;
    if (place && i % 2 == 0) EXPECT_EQ(read(*place + "/whose"), "ours");
  }
  is_over = true;
  attacker.join();
  EXPECT_FALSE(fs::exists("/mnt/host/sub/made"));
  std::printf("%d bound, %d refused\n", bound, refused);
  ASSERT_TRUE(unmount(kPod));
  EXPECT_TRUE(fs::exists("/mnt/host/sub/whose"));
}

Claims claims_of(const core::PersistentVolume& volume) {
  Claims claims;
  claims["data"] = {std::make_shared<const core::PersistentVolume>(volume), false};
  return claims;
}
core::Pod pod_with_claim() {
  core::Pod pod;
  auto& volume = *pod.mutable_spec()->add_volumes();
  volume.set_name("data");
  volume.mutable_volume_source()->mutable_persistent_volume_claim()->set_claim_name("mine");
  return pod;
}
core::PersistentVolume local_volume(const std::string& path) {
  core::PersistentVolume volume;
  volume.mutable_metadata()->set_name("pv");
  volume.mutable_spec()->mutable_persistent_volume_source()->mutable_local()->set_path(path);
  return volume;
}

TEST_F(PersistentVolumes, LocalOnesAreBoundOnce) {
  fs::create_directories(kVolume);
  write(kVolume + "/file", "x");
  const std::size_t mounts = test::count_mounts();
  for (int turn = 0; turn < 2; ++turn) {
    auto prepared = prepare(pod_with_claim(), kPod, claims_of(local_volume(kVolume)));
    ASSERT_TRUE(prepared) << prepared.error().message();
    EXPECT_EQ(prepared->at("data").path, kPod + "/volumes/kubernetes.io~local-volume/pv");
    EXPECT_EQ(read(prepared->at("data").path + "/file"), "x");
    EXPECT_EQ(test::count_mounts(), mounts + 1);
  }
  ASSERT_TRUE(unmount(kPod));
  EXPECT_EQ(test::count_mounts(), mounts);
  EXPECT_EQ(read(kVolume + "/file"), "x");

  auto missing = prepare(pod_with_claim(), kPod, claims_of(local_volume("/mnt/nothing")));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message(),
            "MountVolume.SetUp failed for volume \"data\" : path \"/mnt/nothing\" does not exist");
}

// fsGroup, of what a pod of before has left in a volume.
TEST_F(PersistentVolumes, AreGivenToAGroup) {
  fs::create_directories(kVolume + "/folder/inner");
  fs::create_directories("/mnt/host");
  write("/mnt/host/file", "x");
  write(kVolume + "/folder/file", "x");
  write(kVolume + "/program", "x");
  ASSERT_EQ(::chmod((kVolume + "/program").c_str(), 06750), 0);
  ASSERT_EQ(::chmod((kVolume + "/folder/inner").c_str(), 0700), 0);
  ASSERT_EQ(::chmod("/mnt/host/file", 0600), 0);
  ASSERT_EQ(::mkfifo((kVolume + "/pipe").c_str(), 0600), 0);
  fs::create_symlink("/mnt/host/file", kVolume + "/link");
  fs::create_symlink("/mnt/host", kVolume + "/folder/host");
  fs::create_directories(kVolume + "/mounted");
  ASSERT_EQ(::mount("/mnt/host", (kVolume + "/mounted").c_str(), nullptr, MS_BIND, nullptr), 0);
  auto pod = pod_with_claim();
  pod.mutable_spec()->mutable_security_context()->set_fs_group(2000);
  auto claims = claims_of(local_volume(kVolume));
  claims["data"].is_read_only = true;
  ASSERT_TRUE(prepare(pod, kPod, claims));
  EXPECT_EQ(group_of(kVolume), 0U) << "a claim that is read-only";
  ASSERT_TRUE(unmount(kPod));

  auto prepared = prepare(pod, kPod, claims_of(local_volume(kVolume)));
  ASSERT_TRUE(prepared) << prepared.error().message();
  for (const char* name : {"", "/folder", "/folder/inner", "/folder/file", "/program", "/pipe", "/link"}) {
    EXPECT_EQ(group_of(kVolume + name), 2000U) << name;
  }
  EXPECT_EQ(mode_of(kVolume + "/folder/inner"), 02770U);
  EXPECT_EQ(mode_of(kVolume + "/folder/file") & 0660, 0660U);
  EXPECT_EQ(mode_of(kVolume + "/program"), 0770U) << "a set-id program of another group";
  for (const char* name : {"/mnt/host", "/mnt/host/file"}) EXPECT_EQ(group_of(name), 0U) << name;
  EXPECT_EQ(mode_of("/mnt/host/file"), 0600U);
  ASSERT_TRUE(unmount(kPod));

  // As kubelet does it: while a pod has the volume, another one's group does not take it away.
  auto first = prepare(pod, "/mnt/pods/1", claims_of(local_volume(kVolume)));
  ASSERT_TRUE(first) << first.error().message();
  auto other = pod;
  other.mutable_spec()->mutable_security_context()->set_fs_group(3000);
  ASSERT_TRUE(prepare(other, "/mnt/pods/2", claims_of(local_volume(kVolume))));
  EXPECT_EQ(group_of(kVolume + "/folder/file"), 2000U);
  ASSERT_TRUE(unmount("/mnt/pods/1"));
  ASSERT_TRUE(unmount("/mnt/pods/2"));

  // As the root is right, nothing below it is looked at.
  ASSERT_EQ(::chown((kVolume + "/folder/file").c_str(), 0, 0), 0);
  pod.mutable_spec()->mutable_security_context()->set_fs_group_change_policy("OnRootMismatch");
  ASSERT_TRUE(prepare(pod, kPod, claims_of(local_volume(kVolume))));
  EXPECT_EQ(group_of(kVolume + "/folder/file"), 0U);
  ASSERT_TRUE(unmount(kPod));
  pod.mutable_spec()->mutable_security_context()->set_fs_group(2001);
  ASSERT_TRUE(prepare(pod, kPod, claims_of(local_volume(kVolume))));
  EXPECT_EQ(group_of(kVolume + "/folder/file"), 2001U);
  ASSERT_TRUE(unmount(kPod));
  std::string deep = kVolume;
  for (int i = 0; i < 250; ++i) deep += "/d";
  fs::create_directories(deep);
  pod.mutable_spec()->mutable_security_context()->set_fs_group(2002);
  EXPECT_FALSE(prepare(pod, kPod, claims_of(local_volume(kVolume))));
  ASSERT_EQ(::umount((kVolume + "/mounted").c_str()), 0);
}

TEST_F(PersistentVolumes, BlockDevicesAreDevices) {
  ASSERT_EQ(::mknod("/mnt/disk", S_IFBLK | 0600, makedev(7, 0)), 0);
  fs::create_directories(kVolume);
  auto volume = local_volume("/mnt/disk");
  EXPECT_FALSE(prepare(pod_with_claim(), kPod, claims_of(volume)));  // it has to be mounted, and is not
  volume.mutable_spec()->set_volume_mode("Block");
  auto prepared = prepare(pod_with_claim(), kPod, claims_of(volume));
  ASSERT_TRUE(prepared) << prepared.error().message();
  EXPECT_EQ(prepared->at("data").path, "/mnt/disk");
  EXPECT_TRUE(prepared->at("data").is_device);
  volume.mutable_spec()->mutable_persistent_volume_source()->mutable_local()->set_path(kVolume);
  EXPECT_FALSE(prepare(pod_with_claim(), kPod, claims_of(volume)));
}

}  // namespace
}  // namespace gantry::volumes
