// SPDX-License-Identifier: Apache-2.0
#include "runtime/oci/write_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "runtime/oci/mount_options.h"
#include "runtime/plan/build_plan.h"

namespace gantry::runtime::oci {
namespace {

using sys::MountAttr;
using sys::Propagation;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

MountPlan bind(std::string target, Propagation propagation) {
  MountPlan mount;
  mount.kind = MountKind::kBind;
  mount.target = std::move(target);
  mount.set_attributes = sys::raw(MountAttr::kReadOnly);
  mount.tree_propagation = static_cast<std::uint64_t>(propagation);
  return mount;
}

// What our own parser, which gantry-oci has, reads of it.
TEST(WriteConfig, IsReadAsItWasMeant) {
  Plan plan;
  plan.process.args = {"sh", "-c", "echo \"\x01\xc3\xa4\""};
  plan.process.env = {"A=1"};
  plan.process.cwd = "/work";
  plan.process.uid = 7;
  plan.process.gid = 8;
  plan.process.groups = {8, 9};
  plan.process.capabilities.bounding = plan.process.capabilities.effective = capability_bit(5);
  plan.process.rlimits = {{RLIMIT_NOFILE, 10, ~0ULL}};
  plan.process.set_oom_score_adj = true;
  plan.process.oom_score_adj = -5;
  plan.process.no_new_privileges = true;
  plan.process.schedule = {
      .set_policy = true, .policy = 3, .flags = 1, .nice = 5, .set_io_priority = true, .io_priority = 2U << 13 | 4};
  plan.sysctls = {{"net/ipv4/conf/eth0.1/forwarding", "1"}};
  plan.root.read_only = true;
  plan.masked_paths = {"/proc/kcore"};
  plan.mounts = {bind("/private", Propagation::kPrivate), bind("/slave", Propagation::kSlave),
                 bind("/shared", Propagation::kUnchanged)};
  MountPlan cgroups;
  cgroups.target = "/sys/fs/cgroup";
  cgroups.type = "cgroup2";
  plan.mounts.push_back(cgroups);
  plan.devices = {{"/dev/null", S_IFCHR | 0666, 1, 3, 0, 0}, {"/dev/mine", S_IFBLK | 0640, 7, 1, 2, 3}};
  ConfigParts parts{
      .namespaces = {{NamespaceKind::kMount, ""}, {NamespaceKind::kNetwork, "/proc/5/ns/net"}},
      .cgroups_path = "/pods/a",
      .root_path = "rootfs",
      .sources = {"/b/0", "/b/1", "/b/2", ""},
      .device_rules = {{true, cgroups::DeviceType::kBlock, 7, 1, cgroups::kDeviceRead}},
      .seccomp = R"({"defaultAction":"SCMP_ACT_ALLOW"})",
      .hooks = {{"createContainer", {{"/bin/hook", {"hook"}, {"H=1"}, 3}}}, {"poststop", {{"/bin/late", {}, {}, {}}}}},
      .annotations = {{"a.b/c", "d"}}};
  auto read = parse_config(write_config(plan, parts));
  ASSERT_TRUE(read) << read.error().message();
  ASSERT_TRUE(read->process);
  EXPECT_EQ(read->process->args, plan.process.args);
  EXPECT_EQ(read->process->user.uid, 7U);
  EXPECT_THAT(read->process->user.additional_gids, ElementsAre(9));
  EXPECT_THAT(read->process->capabilities.effective, ElementsAre("CAP_KILL"));
  EXPECT_EQ(read->process->rlimits[0].type, "RLIMIT_NOFILE");
  EXPECT_EQ(read->process->rlimits[0].hard, ~0ULL);
  EXPECT_EQ(read->process->oom_score_adj, -5);
  EXPECT_TRUE(read->process->no_new_privileges && read->root_read_only);
  EXPECT_EQ(read->process->schedule.policy, 3U);
  EXPECT_EQ(read->process->schedule.flags, 1U);
  EXPECT_EQ(read->process->schedule.nice, 5);
  EXPECT_EQ(read->process->schedule.io_priority, plan.process.schedule.io_priority);
  EXPECT_THAT(read->linux_.sysctl, ElementsAre(std::pair("net.ipv4.conf.eth0/1.forwarding", "1")));
  EXPECT_THAT(read->linux_.masked_paths, ElementsAre("/proc/kcore"));
  EXPECT_EQ(read->linux_.of(NamespaceKind::kNetwork).path, "/proc/5/ns/net");
  EXPECT_TRUE(read->linux_.of(NamespaceKind::kMount).is_new());
  EXPECT_FALSE(read->linux_.of(NamespaceKind::kPid).is_listed);
  EXPECT_EQ(read->linux_.cgroups_path, "/pods/a");
  EXPECT_EQ(read->linux_.rootfs_propagation, "rshared");
  ASSERT_EQ(read->linux_.devices.size(), 1U) << "the usual ones are every runtime's own";
  EXPECT_EQ(read->linux_.devices[0].path, "/dev/mine");
  ASSERT_EQ(read->linux_.device_rules.size(), 2U);
  EXPECT_FALSE(read->linux_.device_rules[0].allow);
  EXPECT_EQ(read->linux_.device_rules[1].access, cgroups::kDeviceRead);
  EXPECT_EQ(read->hooks.create_container.size(), 1U);
  EXPECT_EQ(read->hooks.poststop.size(), 1U);
  EXPECT_EQ(read->annotations, parts.annotations);
  EXPECT_FALSE(read->linux_.seccomp.empty());
  ASSERT_EQ(read->mounts.size(), 4U);
  EXPECT_EQ(read->mounts[0].source, "/b/0");
  EXPECT_THAT(read->mounts[0].options, ElementsAre("rbind", "ro", "rprivate"));
  EXPECT_THAT(read->mounts[1].options, Contains("rslave"));
  EXPECT_THAT(read->mounts[2].options, Contains("rshared"));
  EXPECT_EQ(read->mounts[3].type, "cgroup");
}

TEST(WriteConfig, AProcessAloneIsOneOfAnExec) {
  ProcessPlan process;
  process.args = {"true"};
  process.terminal = true;
  process.rows = 5;
  process.columns = 6;
  auto read = parse_process(write_process(process));
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_TRUE(read->terminal);
  EXPECT_EQ(read->rows, 5);
  EXPECT_EQ(read->columns, 6);
  EXPECT_THAT(read->args, ElementsAre("true"));
}

TEST(WriteConfig, WithoutRulesEveryDeviceMayBeUsed) {
  Plan plan;
  plan.process.args = {"true"};
  auto read = parse_config(write_config(plan, {.root_path = "rootfs"}));
  ASSERT_TRUE(read) << read.error().message();
  ASSERT_EQ(read->linux_.device_rules.size(), 1U);
  EXPECT_TRUE(read->linux_.device_rules[0].allow);
  EXPECT_THAT(read->linux_.rootfs_propagation, IsEmpty());
}

TEST(MountOptionWords, AreReadAsTheyWereMeant) {
  for (const auto& words :
       std::vector<std::vector<std::string>>{{"rbind", "ro", "nosuid", "nodev", "noexec", "rprivate"},
                                             {"bind", "rw", "dev", "rro", "rslave"},
                                             {"rbind", "strictatime", "nosymfollow", "rshared"},
                                             {"nosuid", "strictatime", "mode=755", "size=64k"}}) {
    bool is_bind = words[0] != "nosuid";
    auto once = parse_mount_options(words, is_bind);
    ASSERT_TRUE(once);
    auto again = parse_mount_options(mount_option_words(*once), is_bind);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->set, once->set);
    EXPECT_EQ(again->tree_set, once->tree_set);
    EXPECT_EQ(again->tree_propagation, once->tree_propagation);
    EXPECT_EQ(again->is_recursive, once->is_recursive);
    EXPECT_EQ(again->data, once->data);
  }
}

// The default profile as others read it allows no more than ours, whichever rule counts first.
TEST(SeccompAsOci, IsAProfileThatOnlyAllows) {
  ContainerSpec spec;
  EXPECT_EQ(*seccomp_as_oci(spec, {}), "");
  spec.seccomp.kind = SeccompKind::kRuntimeDefault;
  auto text = seccomp_as_oci(spec, {});
  ASSERT_TRUE(text);
  EXPECT_NE(text->find(R"("names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,)"),
            std::string::npos);
  EXPECT_EQ(text->find(R"("names":["socket"],"action":"SCMP_ACT_ALLOW"})"), std::string::npos);
  EXPECT_EQ(text->find(R"("value":40,)"), std::string::npos) << "AF_VSOCK";
  EXPECT_NE(text->find(R"("names":["clone3"],"action":"SCMP_ACT_ERRNO","errnoRet":38)"), std::string::npos);
  SeccompCache cache;
  EXPECT_TRUE(cache.profile(*text, "the default", 0));
  spec.privileged = true;
  EXPECT_EQ(*seccomp_as_oci(spec, {}), "");
}

}  // namespace
}  // namespace gantry::runtime::oci
