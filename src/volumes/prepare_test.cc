// SPDX-License-Identifier: Apache-2.0
#include "volumes/prepare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "kubernetes/core/v1/persistent_volume.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::volumes {
namespace {

namespace core = k8s::io::api::core::v1;
namespace fs = std::filesystem;
using testing::HasSubstr;

class VolumesTest : public testing::Test {
 protected:
  VolumesTest() {
    char path[] = "/tmp/gantry-volumes-XXXXXX";
    root_ = ::mkdtemp(path);
  }
  ~VolumesTest() override { fs::remove_all(root_); }

  core::VolumeSource& add_volume(const std::string& name) {
    auto& volume = *pod_.mutable_spec()->add_volumes();
    volume.set_name(name);
    return *volume.mutable_volume_source();
  }
  std::string try_host_path(const std::string& path, const std::string& type) {
    pod_.Clear();
    auto& source = *add_volume("data").mutable_host_path();
    source.set_path(path);
    source.set_type(type);
    auto done = prepare(pod_, root_ + "/pod");
    return done ? "" : done.error().message();
  }

  std::string root_;
  core::Pod pod_;
};

TEST_F(VolumesTest, EmptyDirsAreMadeOnceForEverybody) {
  add_volume("data").mutable_empty_dir();
  ::umask(027);
  auto made = prepare(pod_, root_ + "/pod");
  ASSERT_TRUE(made) << made.error().message();
  std::string path = root_ + "/pod/volumes/kubernetes.io~empty-dir/data";
  EXPECT_EQ(made->at("data").path, path);
  EXPECT_FALSE(made->at("data").is_read_only);
  struct stat info;
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0777u);
  // What a container made of it stays.
  fs::permissions(path, fs::perms(0700));
  std::ofstream(path + "/file") << "x";
  ASSERT_TRUE(prepare(pod_, root_ + "/pod"));
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
  EXPECT_TRUE(fs::exists(path + "/file"));
  EXPECT_TRUE(unmount(root_ + "/pod"));
  EXPECT_TRUE(unmount(root_ + "/nothing"));
}

TEST_F(VolumesTest, HugePagesAreThoseThatThePodRequests) {
  const auto problem = [&](const std::string& medium) {
    pod_.mutable_spec()->clear_volumes();
    add_volume("data").mutable_empty_dir()->set_medium(medium);
    auto made = prepare(pod_, root_ + "/pod");
    return made ? "" : made.error().message();
  };
  const std::string none = ": hugePages storage requested, but there is no resource request for huge pages";
  EXPECT_THAT(problem("HugePages"), HasSubstr("volume \"data\" : medium HugePages" + none));
  pod_.mutable_spec()->add_init_containers();
  auto& first = *pod_.mutable_spec()->mutable_init_containers(0)->mutable_resources()->mutable_requests();
  first["hugepages-1Gi"].set_string("1Gi");
  EXPECT_THAT(problem("HugePages-2Mi"), HasSubstr("medium HugePages-2Mi" + none));
  auto& second = *pod_.mutable_spec()->add_containers()->mutable_resources()->mutable_requests();
  second["hugepages-2Mi"].set_string("2Mi");
  EXPECT_THAT(problem("HugePages"),
              HasSubstr("medium HugePages can't be used if container requests multiple huge page sizes"));
}

TEST_F(VolumesTest, WhatOthersMayHaveAtTheSameTimeIsNamed) {
  Claims claims;
  for (const std::string name : {"a", "b", "c"}) {
    auto volume = std::make_shared<core::PersistentVolume>();
    auto& source = *volume->mutable_spec()->mutable_persistent_volume_source();
    if (name == "c") {
      source.mutable_host_path()->set_path("/c");
    } else {
      source.mutable_local()->set_path("/" + name);
    }
    claims[name] = {volume};
  }
  EXPECT_THAT(shared_places(claims), testing::ElementsAre("/a", "/b"));
  EXPECT_THAT(shared_places({}), testing::IsEmpty());
}

TEST_F(VolumesTest, HowFarItIsCanBeSeen) {
  add_volume("a").mutable_empty_dir();
  add_volume("b").mutable_host_path()->set_path("not absolute");
  std::atomic<int> passed = -1;
  EXPECT_FALSE(prepare(pod_, root_ + "/pod", {}, &passed));
  EXPECT_EQ(passed, 1);
}

TEST_F(VolumesTest, HostPathsAreOfTheirType) {
  EXPECT_EQ(try_host_path("/dev/null", "CharDevice"), "");
  EXPECT_EQ(try_host_path("/etc", "Directory"), "");
  EXPECT_EQ(try_host_path("/etc/passwd", "File"), "");
  EXPECT_EQ(try_host_path(root_ + "/not-there", ""), "");
  EXPECT_FALSE(fs::exists(root_ + "/not-there"));
  EXPECT_EQ(try_host_path(root_ + "/a/b", "DirectoryOrCreate"), "");
  EXPECT_TRUE(fs::is_directory(root_ + "/a/b"));
  EXPECT_EQ(try_host_path(root_ + "/a/file", "FileOrCreate"), "");
  EXPECT_TRUE(fs::is_regular_file(root_ + "/a/file"));
  EXPECT_THAT(try_host_path("/etc/passwd", "Directory"),
              HasSubstr("volume \"data\" : hostPath type check failed: /etc/passwd is not a directory"));
  EXPECT_THAT(try_host_path("/etc", "BlockDevice"), HasSubstr("/etc is not a block device"));
  EXPECT_THAT(try_host_path("/dev/null", "Socket"), HasSubstr("/dev/null is not a socket file"));
  EXPECT_THAT(try_host_path(root_ + "/no/file", "FileOrCreate"), HasSubstr("No such file"));
  EXPECT_THAT(try_host_path(root_ + "/nothing", "File"), HasSubstr("/nothing is not a file"));
}

}  // namespace
}  // namespace gantry::volumes
