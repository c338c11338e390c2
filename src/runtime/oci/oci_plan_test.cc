// SPDX-License-Identifier: Apache-2.0
#include "runtime/oci/oci_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/personality.h>
#include <sys/stat.h>

#include "runtime/oci/mount_options.h"

namespace gantry::runtime::oci {
namespace {

using sys::MountAttr;
using sys::Propagation;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class OciPlan : public ::testing::Test {
 public:
  OciPlan() {
    config.root_path = "rootfs";
    config.process.emplace();
    config.process->args = {"sh"};
    config.process->cwd = "/work/../home";
    for (auto kind : {NamespaceKind::kMount, NamespaceKind::kPid, NamespaceKind::kNetwork, NamespaceKind::kIpc,
                      NamespaceKind::kUts, NamespaceKind::kCgroup})
      space(kind).is_listed = true;
  }
  Namespace& space(NamespaceKind kind) { return config.linux_.namespaces[static_cast<std::size_t>(kind)]; }
  PlannedContainer make() {
    SeccompCache seccomp;
    auto planned = plan_config(config, host, seccomp);
    EXPECT_TRUE(planned) << planned.error().message();
    if (!planned) return {};
    EXPECT_TRUE(encode_plan(planned->plan, planned->sources.size()));
    return std::move(*planned);
  }
  std::string refusal() {
    SeccompCache seccomp;
    auto planned = plan_config(config, host, seccomp);
    return planned ? "" : planned.error().message();
  }

  Config config;
  HostFacts host;
};

TEST_F(OciPlan, NamespacesAreMadeOrJoined) {
  space(NamespaceKind::kNetwork).path = "/run/netns/a";
  space(NamespaceKind::kPid).path = "/proc/5/ns/pid";
  space(NamespaceKind::kIpc) = {};
  auto planned = make();
  const NamespacePlan& plan = planned.plan.namespaces;
  EXPECT_TRUE(plan.new_uts && plan.new_cgroup);
  EXPECT_FALSE(plan.new_pid || plan.new_net || plan.new_ipc || plan.raise_loopback);
  EXPECT_EQ(planned.sources[static_cast<std::size_t>(plan.join_net)].path, "/run/netns/a");
  EXPECT_EQ(planned.sources[static_cast<std::size_t>(plan.join_net)].kind, Source::Kind::kNamespace);
  EXPECT_EQ(planned.sources[static_cast<std::size_t>(plan.join_pid)].kind, Source::Kind::kPidNamespace);
  EXPECT_EQ(planned.sources[static_cast<std::size_t>(planned.plan.root.rootfs)].kind, Source::Kind::kRoot);
  EXPECT_EQ(planned.plan.process.cwd, "/home");
}

TEST_F(OciPlan, MountsKeepTheirOrderAndSayWhereTheyComeFrom) {
  config.mounts = {
      {"/proc", "proc", "proc", {}},
      {"data", "bind", "../data", {"rbind", "ro", "rnosuid", "rshared"}},
      {"/tmp", "tmpfs", "tmpfs", {"nosuid", "size=64k", "mode=1777"}},
      {"/disk", "ext4", "/dev/sda1", {"ro", "noatime", "data=ordered"}},
      {"/sys/fs/cgroup", "cgroup", "cgroup", {"ro", "nosuid"}},
      {"/plain", "none", "/plain", {"bind"}},
  };
  auto planned = make();
  const auto& mounts = planned.plan.mounts;
  ASSERT_EQ(mounts.size(), 6U);
  EXPECT_EQ(mounts[0].type, "proc");
  EXPECT_EQ(mounts[1].target, "/data");
  EXPECT_EQ(mounts[1].kind, MountKind::kBindInTurn);
  EXPECT_EQ(mounts[1].set_attributes, sys::raw(MountAttr::kReadOnly));
  EXPECT_EQ(mounts[1].tree_set_attributes, sys::raw(MountAttr::kNoSuid));
  EXPECT_EQ(mounts[1].tree_propagation, static_cast<std::uint64_t>(Propagation::kShared));
  const Source& data = planned.sources[static_cast<std::size_t>(mounts[1].source)];
  EXPECT_EQ(data.path, "../data");
  EXPECT_TRUE(data.is_recursive);
  EXPECT_EQ(data.field, "mounts[1].source");
  EXPECT_THAT(mounts[2].options, ElementsAre("source=tmpfs", "size=64k", "mode=1777"));
  const Source& disk = planned.sources[static_cast<std::size_t>(mounts[3].source)];
  EXPECT_EQ(disk.kind, Source::Kind::kFilesystem);
  EXPECT_THAT(disk.options, ElementsAre("source=/dev/sda1", "data=ordered", "ro"));
  EXPECT_THAT(mounts[0].options, ElementsAre("source=proc"));
  EXPECT_EQ(mounts[4].type, "cgroup2");
  EXPECT_FALSE(planned.sources[static_cast<std::size_t>(mounts[5].source)].is_recursive);
  // Nothing is said: mounts of the host come in, none goes out.
  EXPECT_EQ(mounts[5].tree_propagation, static_cast<std::uint64_t>(Propagation::kSlave));
}

TEST_F(OciPlan, WithoutACgroupNamespaceTheHostsHierarchyIsCloned) {
  space(NamespaceKind::kCgroup) = {};
  config.mounts = {{"/sys/fs/cgroup", "cgroup", "cgroup", {"ro"}}};
  auto planned = make();
  EXPECT_EQ(planned.plan.mounts[0].kind, MountKind::kBindInTurn);
  EXPECT_EQ(planned.sources[static_cast<std::size_t>(planned.plan.mounts[0].source)].kind, Source::Kind::kHostCgroups);
}

TEST_F(OciPlan, DevicesOfItsOwnStandBesideTheDefaultOnes) {
  config.linux_.devices = {{"c", "/dev/zero", 1, 5, 0600, 3, 4}, {"p", "/dev/pipe", 0, 0, {}, 0, 0}};
  auto planned = make();
  ASSERT_EQ(planned.plan.devices.size(), 7U);
  EXPECT_EQ(planned.plan.devices[0].path, "/dev/zero");
  EXPECT_EQ(planned.plan.devices[0].mode, S_IFCHR | 0600U);
  EXPECT_EQ(planned.plan.devices[0].uid, 3U);
  EXPECT_EQ(planned.plan.devices[1].mode, S_IFIFO | 0666U);
  EXPECT_EQ(planned.plan.links.size(), 5U);
  // In a /dev that comes from elsewhere nothing is made.
  config.mounts = {{"/dev", "bind", "/dev", {"rbind"}}};
  planned = make();
  EXPECT_THAT(planned.plan.devices, IsEmpty());
  EXPECT_THAT(planned.plan.links, IsEmpty());
}

TEST_F(OciPlan, CapabilitiesThatCantBeGrantedAreToldAndLeftOut) {
  host.capabilities = capability_bit(5);
  config.process->capabilities.bounding = {"CAP_KILL", "CAP_SYS_ADMIN", "CAP_DANCE"};
  config.process->capabilities.permitted = config.process->capabilities.effective = {"CAP_KILL"};
  auto planned = make();
  EXPECT_EQ(planned.plan.process.capabilities.bounding, capability_bit(5));
  EXPECT_THAT(planned.warnings, ElementsAre(HasSubstr("CAP_SYS_ADMIN"), HasSubstr("\"CAP_DANCE\" is unknown")));
  config.process->capabilities.permitted = {};
  EXPECT_THAT(refusal(), HasSubstr("process.capabilities.effective: CAP_KILL"));
}

TEST_F(OciPlan, AMountLabelIsNothingWhereNothingReadsLabels) {
  config.linux_.mount_label = "u:r:files_t:s0:c1,c2";
  config.mounts = {{.destination = "/a", .type = "tmpfs"}};
  auto planned = make();
  EXPECT_THAT(planned.warnings, ElementsAre(HasSubstr("linux.mountLabel")));
  EXPECT_THAT(planned.plan.mounts.at(0).options, IsEmpty());
}

TEST_F(OciPlan, LabelsOfProcessesAndOfNewFileSystems) {
  host.has_selinux = true;
  config.process->selinux_label = "u:r:process_t:s0";
  config.linux_.mount_label = "u:r:files_t:s0:c1,c2";
  config.mounts = {{.destination = "/proc", .type = "proc"},
                   {.destination = "/dev/pts", .type = "devpts", .options = {"newinstance"}},
                   {.destination = "/a", .type = "tmpfs", .options = {"size=4k"}},
                   {.destination = "/b", .type = "tmpfs", .options = {"rootcontext=\"u:r:own_t:s0:c1,c2\""}},
                   {.destination = "/c", .type = "tmpfs", .options = {"tmpcopyup"}},
                   {.destination = "/d", .type = "sysfs"}};
  auto planned = make();
  EXPECT_EQ(planned.plan.process.selinux_label, "u:r:process_t:s0");
  const auto& mounts = planned.plan.mounts;
  EXPECT_THAT(mounts.at(0).options, IsEmpty());
  EXPECT_THAT(mounts.at(1).options, ElementsAre("newinstance", "context=u:r:files_t:s0:c1,c2"));
  EXPECT_THAT(mounts.at(2).options, ElementsAre("size=4k", "context=u:r:files_t:s0:c1,c2"));
  EXPECT_THAT(mounts.at(3).options, ElementsAre("rootcontext=u:r:own_t:s0:c1,c2"));
  EXPECT_THAT(planned.sources.back().options, ElementsAre("context=u:r:files_t:s0:c1,c2"));
  EXPECT_THAT(mounts.at(5).options, IsEmpty());
  EXPECT_EQ(planned.mount_label, "u:r:files_t:s0:c1,c2");
}

TEST_F(OciPlan, TheRest) {
  config.linux_.rootfs_propagation = "rshared";
  config.linux_.personality = PER_LINUX32;
  config.linux_.sysctl = {{"net.ipv4.conf.eth0/100.forwarding", "1"}, {"net/ipv4/ip_forward", "1"}};
  config.process->user.umask = 077;
  config.process->rlimits = {{"RLIMIT_CORE", 1, 2}};
  config.process->oom_score_adj = 100;
  auto planned = make();
  EXPECT_EQ(planned.plan.root.propagation, static_cast<std::uint64_t>(Propagation::kShared));
  EXPECT_EQ(planned.plan.process.personality, static_cast<std::uint32_t>(PER_LINUX32));
  EXPECT_EQ(planned.plan.sysctls.at(0).path, "net/ipv4/conf/eth0.100/forwarding");
  EXPECT_EQ(planned.plan.sysctls.at(1).path, "net/ipv4/ip_forward");
  EXPECT_EQ(planned.plan.process.umask, 077U);
  EXPECT_EQ(planned.plan.process.rlimits.at(0).hard, 2U);
  EXPECT_EQ(planned.plan.process.oom_score_adj, 100);
  space(NamespaceKind::kNetwork) = {};
  EXPECT_THAT(refusal(), HasSubstr("needs a network namespace"));
}

TEST_F(OciPlan, IdsOfAMountAreMappedByItsOwnMappingsOrTheContainers) {
  IdMappings own{{{0, 5, 1}}, {{0, 5, 1}}};
  config.mounts = {
      {"/a", "bind", "/x", {"idmap"}, own}, {"/b", "", "/x", {"rbind", "ridmap"}, own}, {"/c", "bind", "/x", {}, own}};
  auto planned = make();
  auto& sources = planned.sources;
  auto first = static_cast<std::size_t>(planned.plan.mounts.at(0).source);
  for (std::size_t i : {first, first + 1, first + 2}) EXPECT_EQ(host_id(sources.at(i).ids.uids, 0), 5U);
  EXPECT_FALSE(sources.at(first).maps_ids_of_tree);
  EXPECT_TRUE(sources.at(first + 1).maps_ids_of_tree);
  config.mounts = {{"/a", "bind", "/x", {"idmap"}, {}}};
  EXPECT_THAT(refusal(), HasSubstr("mounts[0].options: idmap needs uidMappings"));
  space(NamespaceKind::kUser).is_listed = true;
  config.linux_.ids = {{{0, 100000, 1000}}, {{0, 100000, 1000}}};
  auto mapped = make();
  EXPECT_EQ(host_id(mapped.sources.at(static_cast<std::size_t>(mapped.plan.mounts.at(0).source)).ids.uids, 1), 100001U);
  config.mounts = {{"/a", "tmpfs", "t", {"idmap"}, own}};
  auto tmpfs = make();
  auto& made = tmpfs.sources.at(static_cast<std::size_t>(tmpfs.plan.mounts.at(0).source));
  EXPECT_EQ(made.kind, Source::Kind::kFilesystem);
  EXPECT_EQ(host_id(made.ids.uids, 0), 5U);
  config.mounts = {{"/a", "sysfs", "s", {}, own}};
  EXPECT_THAT(refusal(), HasSubstr("mounts[0]: the kernel maps no ids of file system \"sysfs\""));
}

TEST_F(OciPlan, ABindIsOneByItsTypeOrByAnOption) {
  for (const std::string type : {"bind", "rbind", "none"}) {
    std::vector<std::string> options;
    if (type == "none") options.push_back("bind");
    options.push_back("size=64k");
    config.mounts = {{"/a", type, "/x", options, {}}};
    EXPECT_EQ(make().plan.mounts.size(), 1U) << type;
    options.back() = "sise=64k";
    config.mounts = {{"/a", type, "/x", options, {}}};
    EXPECT_THAT(refusal(), HasSubstr("mounts[0].options: option \"sise=64k\" is unknown for a bind mount")) << type;
  }
}

TEST(OciMountOptions, TheLastWordCounts) {
  auto options = parse_mount_options({"ro", "noexec", "rw", "exec", "noatime", "strictatime", "sync"}, false);
  ASSERT_TRUE(options);
  EXPECT_EQ(options->set, MountAttr::kStrictAtime);
  EXPECT_TRUE(sys::has(options->clear, MountAttr::kReadOnly | MountAttr::kNoExec));
  EXPECT_THAT(options->data, ElementsAre("sync"));
  EXPECT_FALSE(parse_mount_options({""}, false));
  options = parse_mount_options({"rbind", "mode=755", "size=1k", "ro"}, false);
  ASSERT_TRUE(options);
  EXPECT_THAT(options->data, IsEmpty());
  EXPECT_FALSE(parse_mount_options({"bind", "sise=1k"}, false));
  EXPECT_THAT(known_mount_options(), Contains("rnosymfollow"));
}

}  // namespace
}  // namespace gantry::runtime::oci
