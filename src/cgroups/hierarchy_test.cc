// SPDX-License-Identifier: Apache-2.0
#include "cgroups/hierarchy.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "cgroups/driver.h"
#include "tests/support/tree.h"

namespace gantry::cgroups {
namespace {

using test::Tree;

// Debian 12, systemd, pure v2.
constexpr const char* kPure =
    "24 30 0:22 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw\n"
    "33 24 0:28 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 "
    "rw,nsdelegate,memory_recursiveprot\n";
// A hybrid host, shortened.
constexpr const char* kHybrid =
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
// A container's view, and what a fussy administrator made.
constexpr const char* kOdd =
    "50 40 0:38 / /mnt/a\\040place rw shared:1 master:2 - cgroup2 none rw\n"
    "51 40 0:38 /kubepods/pod1 /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n"
    "52 40 0:38 / /mnt/second ro - cgroup2 none rw\n"
    "53 40 0:38 / /mnt/a\\040place rw - cgroup2 later rw\n"
    "not a line\n\n54 40 0:38 / /x rw - \n";

TEST(HierarchyTest, FindsTheMountOfEachKindOfHost) {
  auto pure = cgroup_mounts(kPure);
  ASSERT_EQ(pure.size(), 1U);
  EXPECT_EQ(pure[0].mount_point, "/sys/fs/cgroup");
  EXPECT_FALSE(pure[0].read_only);
  auto hybrid = cgroup_mounts(kHybrid);
  ASSERT_EQ(hybrid.size(), 1U);
  EXPECT_EQ(hybrid[0].mount_point, "/sys/fs/cgroup/unified");
  auto odd = cgroup_mounts(kOdd);
  ASSERT_EQ(odd.size(), 4U);
  EXPECT_EQ(odd[0].mount_point, "/mnt/a place");
  EXPECT_EQ(odd[2].mount_point, "/mnt/second");
  EXPECT_EQ(odd[3].root, "/kubepods/pod1");
  EXPECT_TRUE(odd[3].read_only);
  auto none = Hierarchy::find("");
  ASSERT_FALSE(none.has_value());
  EXPECT_EQ(none.error().code(), Code::kFailedPrecondition);
  EXPECT_NE(none.error().message().find("mount -t cgroup2"), std::string::npos);
}

TEST(HierarchyTest, SaysWhatIsLacking) {
  Tree tree{{"cgroup.controllers", "hugetlb pids rdma\n"}};
  auto hierarchy = Hierarchy::at(tree.open(), "/somewhere");
  ASSERT_TRUE(hierarchy.has_value());
  EXPECT_EQ(hierarchy->lacking(), (std::vector<std::string>{"cpu", "cpuset", "memory", "io"}));
  EXPECT_TRUE(hierarchy->has("rdma"));
  EXPECT_EQ(hierarchy->describe(),
            "cgroup v2 at /somewhere without cpu, cpuset, memory, io (not in this hierarchy): limits of these are not "
            "enforced");
  Tree full{{"cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma misc\n"}};
  EXPECT_EQ(Hierarchy::at(full.open(), "/x")->describe(), "cgroup v2 at /x with all controllers");
}

TEST(HierarchyTest, PathsStayBeneathTheRoot) {
  Tree tree{{"cgroup.controllers", ""}, {"kubepods/pod1/", ""}, {"outside/", ""}};
  ASSERT_TRUE(sys::symlinkat("outside", tree.dir(), "link").has_value());
  auto hierarchy = Hierarchy::at(tree.open(), "/x");
  EXPECT_EQ(hierarchy->open("/kubepods/pod1")->path(), "/kubepods/pod1");
  EXPECT_EQ(hierarchy->open("kubepods/pod1/")->path(), "/kubepods/pod1");
  EXPECT_EQ(hierarchy->open("/")->path(), "/");
  EXPECT_TRUE(hierarchy->open("/kubepods/pod2").error().is_not_found());
  for (const char* path :
       {"/..", "/kubepods/../outside", "/kubepods//pod1", "/./kubepods", "/cgroup.procs", "/a\nb", "//x"}) {
    auto opened = hierarchy->open(path);
    ASSERT_FALSE(opened.has_value()) << path;
    EXPECT_TRUE(opened.error().is_invalid()) << opened.error().message();
  }
  EXPECT_FALSE(hierarchy->open("/link").has_value()) << "no links";
  EXPECT_TRUE(hierarchy->open(std::string(5000, 'x')).error().is_invalid());
  std::string deep;
  for (int i = 0; i < 33; ++i) deep += "/x";
  EXPECT_TRUE(hierarchy->open(deep).error().is_invalid());
}

TEST(HierarchyTest, NamesThatTheKernelKeepsAreRefused) {
  for (const char* name : {"kubepods", "pod1", "gantry-pods.scope", "a.b", "cpu", "_cpu.slice", "x\xc3\xa4", "..."}) {
    EXPECT_TRUE(check_cgroup_name(name).has_value()) << name;
  }
  for (const char* name : {"", ".", "..", "a/b", "cgroup.x", "cpu.slice", "memory.max", "a\tb", "\x7f"}) {
    EXPECT_TRUE(check_cgroup_name(name).error().is_invalid()) << name;
  }
  EXPECT_TRUE(check_cgroup_name(std::string(256, 'a')).error().is_invalid());
}

TEST(CgroupTest, ControllersAreSwitchedOnOneByOne) {
  Tree tree{{"cgroup.controllers", "cpu pids\n"}, {"cgroup.subtree_control", ""}};
  Cgroup cgroup(tree.open(), "/pod");
  constexpr std::string_view kWanted[] = {"pids", "memory"};
  auto refused = cgroup.enable_for_children(kWanted);
  ASSERT_TRUE(refused.has_value()) << refused.error().message();
  ASSERT_EQ(refused->size(), 1U);
  EXPECT_EQ((*refused)[0].controller, "memory");
  EXPECT_EQ((*refused)[0].reason, "cgroup /pod does not have it");
  EXPECT_EQ(tree.at("cgroup.subtree_control"), "+pids");
}

TEST(CgroupPathTest, IsOfTheLineOfVersion2) {
  EXPECT_EQ(*cgroup_path_in("4:memory:/a\n0::/b/c\n"), "/b/c");
  // Whoever may make cgroups of version 1 chooses their names.
  EXPECT_EQ(*cgroup_path_in("7:pids:/x0::y\n4:memory:/0::/z\n0::/b"), "/b");
  EXPECT_EQ(cgroup_path_in("7:pids:/x0::y\n").error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(cgroup_path_in("").error().code(), Code::kFailedPrecondition);
}

TEST(CgroupPathTest, WhatIsWrongIsShownInPlainText) {
  auto parts = split_cgroup_path("/a/\xc3\x28\x1b[2J.scope/\n");
  ASSERT_FALSE(parts);
  EXPECT_EQ(parts.error().message(), R"(cgroup name "\xc3(\x1b[2J.scope": no '/' and no control bytes in a name)");
}

TEST(CgroupTest, EventsAndOrders) {
  Tree tree{{"cgroup.events", "populated 1\nfrozen 0\n"},
            {"cgroup.kill", ""},
            {"cgroup.freeze", ""},
            {"cgroup.procs", "12\n0\n345\n"}};
  Cgroup cgroup(tree.open(), "/pod");
  EXPECT_TRUE(cgroup.events()->populated);
  EXPECT_FALSE(cgroup.events()->frozen);
  EXPECT_EQ(*cgroup.processes(), (std::vector<pid_t>{12, 0, 345}));
  ASSERT_TRUE(cgroup.kill().has_value());
  ASSERT_TRUE(cgroup.set_frozen(true).has_value());
  EXPECT_EQ(tree.contents(), (Tree::Files{{"cgroup.events", "populated 1\nfrozen 0\n"},
                                          {"cgroup.freeze", "1"},
                                          {"cgroup.kill", "1"},
                                          {"cgroup.procs", "12\n0\n345\n"}}));
}

}  // namespace
}  // namespace gantry::cgroups
