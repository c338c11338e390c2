// SPDX-License-Identifier: Apache-2.0
#include "cri/pod_cgroups.h"

#include <gtest/gtest.h>

namespace gantry::cri {
namespace {

using cgroups::DriverKind;

std::string with_systemd(std::string_view parent, std::string_view uid) {
  return pod_cgroup_path(DriverKind::kSystemd, "/gantry-pods.scope", parent, uid, "5a4d");
}

TEST(PodCgroups, WithCgroupfsAPlaceIsTakenAsItIs) {
  auto path = [](std::string_view parent, std::string_view uid) {
    return pod_cgroup_path(DriverKind::kCgroupfs, "/root", parent, uid, "5a4d");
  };
  EXPECT_EQ(path("/kubepods/pod1/", "1"), "/kubepods/pod1");
  EXPECT_EQ(path("/kubepods.slice", "1"), "/kubepods.slice");
  EXPECT_EQ(path("", "1-2"), "/root/kubepods/pod1-2");
  EXPECT_EQ(path("", std::string(253, 'x')), "/root/kubepods/pod5a4d");
}

TEST(PodCgroups, WithSystemdEachPodHasAScope) {
  EXPECT_EQ(with_systemd("kubepods-besteffort-pod1_2.slice", "1-2"),
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice/gantry-5a4d.scope/pod");
  EXPECT_EQ(with_systemd("/a.slice/a-b.slice", "1"), "/a.slice/a-b.slice/gantry-5a4d.scope/pod");
  EXPECT_EQ(with_systemd("-.slice", "1"), "/gantry-5a4d.scope/pod");
  EXPECT_EQ(with_systemd("", "1-2"), "/kubepods.slice/kubepods-pod1_2.slice/gantry-5a4d.scope/pod");
  for (const std::string& uid : {std::string("a b"), std::string("\xc3\xa4"), std::string(253, 'x')}) {
    EXPECT_EQ(with_systemd("", uid), "/kubepods.slice/kubepods-pod5a4d.slice/gantry-5a4d.scope/pod") << uid;
  }
}

TEST(PodCgroups, APathSaysWhetherThereIsAScope) {
  EXPECT_EQ(pod_scope_path(with_systemd("", "1"), "5a4d"), "/kubepods.slice/kubepods-pod1.slice/gantry-5a4d.scope");
  // What a client gave with the other driver is no scope of ours, whatever it is called: the id came later.
  for (const char* path :
       {"", "/gantry-5a4e.scope/pod", "/gantry-5a4d.scope", "/xgantry-5a4d.scope/pod", "/kubepods/pod1"}) {
    EXPECT_EQ(pod_scope_path(path, "5a4d"), "") << path;
  }
  EXPECT_EQ(sandbox_of_scope("gantry-5a4d.scope"), "5a4d");
  for (const char* name : {"session-1.scope", "gantry-5a4d.service", "gantry.scope"}) {
    EXPECT_EQ(sandbox_of_scope(name), "") << name;
  }
}

}  // namespace
}  // namespace gantry::cri
