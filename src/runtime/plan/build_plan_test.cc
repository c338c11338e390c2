// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/build_plan.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <set>

#include "runtime/plan/plan_parts.h"
#include "runtime/plan/text.h"
#include "sys/file.h"
#include "sys/mount.h"

namespace gantry::runtime {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr std::string_view kPasswd =
    "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/var/www:/bin/sh\ndefault-user:x:1000:1000::/home:/bin/sh\n";
constexpr std::string_view kGroup = "www:x:33:\nin-image:x:50000:default-user\naudio:x:29:web\n";

class BuildPlan : public testing::Test {
 protected:
  BuildPlan() {
    for (int i = 0; i < 4; ++i) (void)*fds.add(OwnFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
    spec.root.store = 0;
    spec.root.overlay = "lowerdir=l/a,upperdir=c/u,workdir=c/w";
    image.entrypoint = {"/server"};
    image.cmd = {"--port", "80"};
  }
  Result<Plan> make() { return plan_container(spec, image, host, users, seccomp, fds); }
  ProcessPlan process() {
    auto plan = make();
    EXPECT_TRUE(plan) << plan.error().message();
    return plan ? plan->process : ProcessPlan();
  }
  // The message; fails the test when there is none.
  std::string refusal(Code code = Code::kInvalidArgument) {
    auto plan = make();
    EXPECT_FALSE(plan);
    if (plan) return {};
    EXPECT_EQ(plan.error().code(), code) << plan.error().message();
    return plan.error().message();
  }

  ContainerSpec spec;
  ImageProcess image;
  HostFacts host;
  UserDatabase users = *UserDatabase::parse(kPasswd, kGroup);
  SeccompCache seccomp;
  FdList fds;
};

const MountPlan* mount_at(const Plan& plan, std::string_view target) {
  const MountPlan* found = nullptr;
  for (const MountPlan& mount : plan.mounts) {
    if (mount.target == target) found = &mount;
  }
  return found;
}

TEST_F(BuildPlan, CommandAndArguments) {
  using List = std::vector<std::string>;
  struct Row {
    List entrypoint, cmd, command, args, expected;
  };
  for (const auto& [entrypoint, cmd, command, args, expected] : {
           Row{{"e"}, {"c"}, {}, {}, {"e", "c"}},
           Row{{"e"}, {"c"}, {"x"}, {}, {"x"}},  // a command of one's own drops cmd too
           Row{{"e"}, {"c"}, {}, {"y"}, {"e", "y"}},
           Row{{"e"}, {"c"}, {"x"}, {"y"}, {"x", "y"}},
           Row{{}, {"c"}, {}, {}, {"c"}},
           Row{{}, {"c"}, {}, {"y"}, {"y"}},
           Row{{"e", "1"}, {}, {}, {}, {"e", "1"}},
       }) {
    image.entrypoint = entrypoint;
    image.cmd = cmd;
    spec.command = command;
    spec.args = args;
    EXPECT_EQ(process().args, expected);
  }
  image = {};
  spec.command = spec.args = {};
  EXPECT_THAT(refusal(), HasSubstr("no command"));
  spec.command = {""};
  EXPECT_THAT(refusal(), HasSubstr("no command"));
  spec.command = {"x", std::string("a\0b", 3)};
  EXPECT_THAT(refusal(), HasSubstr("NUL"));
  spec.command = {"x", std::string(131072, 'a')};
  EXPECT_THAT(refusal(), HasSubstr("131072"));
}

TEST_F(BuildPlan, Environment) {
  spec.hostname = "pod-1";
  image.env = {"PATH=/bin", "A=image", "B=image"};
  spec.env = {{"B", "spec"}, {"C", "a=b"}, {"C", ""}};
  EXPECT_THAT(process().env, ElementsAre("PATH=/bin", "HOSTNAME=pod-1", "A=image", "B=spec", "C=", "HOME=/root"));
  spec.terminal = true;
  image.env = {"HOME=/mine"};
  spec.env = {};
  EXPECT_THAT(process().env, ElementsAre("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                         "TERM=xterm", "HOSTNAME=pod-1", "HOME=/mine"));
  image.env = {"TERM=vt100", "HOME="};
  spec.user.uid = 33;
  EXPECT_THAT(process().env, Contains("TERM=vt100"));
  EXPECT_THAT(process().env, Contains("HOME=/var/www"));  // an empty one is none
  spec.user.uid = 4711;
  EXPECT_THAT(process().env, Contains("HOME=/"));
}

TEST_F(BuildPlan, EnvironmentIsChecked) {
  for (const char* entry : {"NOVALUE", "=x", ""}) {
    image.env = {entry};
    EXPECT_THAT(refusal(), HasSubstr("the image's environment")) << entry;
  }
  image.env = {std::string("A=\0", 3)};
  EXPECT_THAT(refusal(), HasSubstr("NUL"));
  image.env = {"HOME=/x\nroot::0:0::/:/bin/sh"};
  EXPECT_THAT(refusal(), HasSubstr("HOME"));
  image.env = {};
  spec.env = {{"HOME", "/a:b"}};
  EXPECT_THAT(refusal(), HasSubstr("HOME"));
  for (const char* name : {"", "A=B"}) {
    spec.env = {{name, "x"}};
    EXPECT_THAT(refusal(), HasSubstr("name"));
  }
}

TEST_F(BuildPlan, WorkingFolder) {
  EXPECT_EQ(process().cwd, "/");
  image.working_dir = "/srv//app/.";
  EXPECT_EQ(process().cwd, "/srv/app");
  EXPECT_TRUE(process().make_cwd);
  spec.working_dir = "/a/../../b/";
  EXPECT_EQ(process().cwd, "/b");
  spec.working_dir = "relative";
  EXPECT_THAT(refusal(), HasSubstr("relative"));
  spec.working_dir = "/" + std::string(5000, 'a');
  EXPECT_THAT(refusal(), HasSubstr("4096"));
}

// CVE-2023-25173 and CVE-2022-2995: image groups x group x supplemental groups x policy.
TEST_F(BuildPlan, UsersAndGroups) {
  struct Row {
    std::string image_user;
    UserSpec user;
    std::uint32_t uid, gid;
    std::vector<std::uint32_t> groups;
  };
  using enum GroupsPolicy;
  for (const auto& [image_user, user, uid, gid, groups] : {
           Row{"", {}, 0, 0, {0}},
           Row{"1000", {}, 1000, 1000, {1000, 50000}},
           Row{"1000", {.supplemental_groups = {1234}}, 1000, 1000, {1000, 1234, 50000}},  // critest's
           Row{"1000", {.supplemental_groups = {1234}, .groups_policy = kStrict}, 1000, 1000, {1000, 1234}},
           Row{"1000:7", {.supplemental_groups = {1234}}, 1000, 7, {7, 1234, 50000}},
           Row{"web", {.uid = 1000}, 1000, 1000, {1000, 50000}},  // the API's user, not the image's
           Row{"web:audio", {.uid = 1000, .gid = 9}, 1000, 9, {9, 50000}},
           Row{"web", {.uid = 0}, 0, 0, {0}},
           Row{"", {.uid = 4711}, 4711, 0, {0}},
           Row{"", {.uid = 4711, .gid = 4712, .supplemental_groups = {5, 5, 4712, 3}}, 4711, 4712, {4712, 3, 5}},
           Row{"1000", {.name = "web", .gid = 8}, 33, 8, {8, 29}},
           Row{"1000", {.name = "web", .groups_policy = kStrict}, 33, 33, {33}},
       }) {
    image.user = image_user;
    spec.user = user;
    ProcessPlan made = process();
    EXPECT_EQ(made.uid, uid) << image_user;
    EXPECT_EQ(made.gid, gid) << image_user;
    EXPECT_EQ(made.groups, groups) << image_user;
  }
}

TEST_F(BuildPlan, BadUsers) {
  struct Row {
    std::string image_user;
    UserSpec user;
    const char* reason;
  };
  for (const auto& [image_user, user, reason] : {
           Row{"", {.gid = 5}, "without a user"},  // critest: an error of CreateContainer
           Row{"1000", {.gid = 5}, "without a user"},
           Row{"", {.uid = 5, .name = "web"}, "not both"},
           Row{"", {.uid = -1}, "-1"},
           Row{"", {.uid = 2147483648}, "2147483648"},
           Row{"", {.uid = 4294967296}, "4294967296"},
           Row{"", {.uid = 1, .gid = -5}, "-5"},
           Row{"", {.uid = 1, .supplemental_groups = {4294967295}}, "4294967295"},
           Row{"", {.name = "nobody"}, "nobody"},
           Row{"", {.name = "web:0"}, "':'"},
           Row{"nobody", {}, "nobody"},
           Row{"1:", {}, "malformed"},
       }) {
    image.user = image_user;
    spec.user = user;
    EXPECT_THAT(refusal(), HasSubstr(reason));
  }
  image.user = "1000";  // of the group 50000, beside its own
  spec.user = {};
  for (std::size_t i = 0; i < kMaxGroups - 2; ++i) spec.user.supplemental_groups.push_back(static_cast<int>(i) + 1001);
  EXPECT_EQ(process().groups.size(), kMaxGroups);
  EXPECT_TRUE(encode_plan(*make(), fds.size()));
  spec.user.supplemental_groups.push_back(5);
  EXPECT_EQ(refusal(), "user: 1025 groups with the image's: at most 1024 are allowed");
  EXPECT_TRUE(check_spec(ContainerSpec()));
  ContainerSpec group_alone;
  group_alone.user.gid = 5;
  EXPECT_FALSE(check_spec(group_alone));
}

TEST_F(BuildPlan, Capabilities) {
  auto bit = capability_bit;
  struct Row {
    std::vector<std::string> add, drop;
    CapabilitySet expected;
  };
  CapabilitySet all = host.capabilities;
  for (const auto& [add, drop, expected] : {
           Row{{}, {}, kDefaultCapabilities},
           Row{{"NET_ADMIN"}, {}, kDefaultCapabilities | bit(CAP_NET_ADMIN)},
           Row{{}, {"NET_RAW"}, kDefaultCapabilities & ~bit(CAP_NET_RAW)},
           Row{{}, {"ALL"}, 0},
           Row{{"NET_BIND_SERVICE"}, {"all"}, bit(CAP_NET_BIND_SERVICE)},
           Row{{"ALL"}, {}, all},
           Row{{"ALL"}, {"SYS_ADMIN"}, all & ~bit(CAP_SYS_ADMIN)},
           Row{{"ALL"}, {"ALL"}, 0},
           Row{{"NET_ADMIN"}, {"NET_ADMIN"}, kDefaultCapabilities},
       }) {
    spec.capabilities = {add, drop, {}};
    for (std::int64_t uid : {0, 1000}) {
      spec.user.uid = uid;
      CapabilityPlan made = process().capabilities;
      EXPECT_EQ(made.bounding, expected);
      EXPECT_EQ(made.effective, expected);
      EXPECT_EQ(made.permitted, expected);
      EXPECT_EQ(made.inheritable, 0U);  // CVE-2022-24769
      EXPECT_EQ(made.ambient, 0U);
    }
  }
}

TEST_F(BuildPlan, AmbientCapabilities) {
  spec.capabilities = {{}, {"ALL"}, {"NET_BIND_SERVICE"}};
  CapabilityPlan made = process().capabilities;
  EXPECT_EQ(made.ambient, capability_bit(CAP_NET_BIND_SERVICE));
  EXPECT_EQ(made.inheritable, made.ambient);
  EXPECT_EQ(made.bounding, made.ambient);
  spec.capabilities = {{}, {"NET_RAW"}, {"NET_RAW"}};
  EXPECT_EQ(process().capabilities.ambient, 0U);
}

TEST_F(BuildPlan, CapabilitiesThatTheHostLacks) {
  host.capabilities = kDefaultCapabilities & ~capability_bit(CAP_AUDIT_WRITE);
  EXPECT_EQ(process().capabilities.bounding, host.capabilities);  // of the defaults what there is
  spec.capabilities.add = {"ALL"};
  EXPECT_EQ(process().capabilities.bounding, host.capabilities);
  spec.capabilities.add = {"SYS_ADMIN"};
  EXPECT_THAT(refusal(Code::kFailedPrecondition), HasSubstr("CAP_SYS_ADMIN"));
  spec.capabilities = {{"NO_SUCH"}, {}, {}};
  EXPECT_THAT(refusal(), HasSubstr("NO_SUCH"));
  spec.capabilities = {{}, {"NO_SUCH"}, {}};
  EXPECT_THAT(refusal(), HasSubstr("NO_SUCH"));
}

TEST_F(BuildPlan, Privileged) {
  spec.privileged = true;
  spec.host_cgroups = 3;
  spec.capabilities.drop = {"ALL"};
  spec.seccomp.kind = SeccompKind::kRuntimeDefault;
  spec.masked_paths = {"/proc/kcore"};
  spec.devices = {{"/dev/kmsg", S_IFCHR | 0644, 1, 11, 0, 0},
                  {"/dev/null", S_IFCHR | 0600, 1, 3, 0, 0},
                  {"/dev/ptmx", S_IFCHR | 0666, 5, 2, 0, 0}};
  auto plan = make();
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->process.capabilities.bounding, host.capabilities);
  EXPECT_THAT(plan->process.seccomp.program, IsEmpty());
  EXPECT_THAT(plan->masked_paths, IsEmpty());
  EXPECT_THAT(plan->read_only_paths, IsEmpty());
  EXPECT_FALSE(plan->namespaces.new_cgroup);
  EXPECT_EQ(mount_at(*plan, "/sys")->set_attributes & MOUNT_ATTR_RDONLY, 0U);
  // To mount the hierarchy anew would change the options of the host's.
  const MountPlan* cgroups = mount_at(*plan, "/sys/fs/cgroup");
  EXPECT_EQ(cgroups->kind, MountKind::kBind);
  EXPECT_EQ(cgroups->source, 3);
  EXPECT_EQ(cgroups->set_attributes & MOUNT_ATTR_RDONLY, 0U);
  EXPECT_EQ(cgroups->clear_attributes, static_cast<std::uint64_t>(MOUNT_ATTR_RDONLY));
  EXPECT_TRUE(encode_plan(*plan, fds.size()));
  std::vector<std::string> devices;
  for (const auto& device : plan->devices) devices.push_back(device.path);
  EXPECT_THAT(devices, testing::UnorderedElementsAre("/dev/null", "/dev/zero", "/dev/full", "/dev/random",
                                                     "/dev/urandom", "/dev/tty", "/dev/kmsg"));
}

TEST_F(BuildPlan, Seccomp) {
  EXPECT_THAT(process().seccomp.program, IsEmpty());
  spec.seccomp.kind = SeccompKind::kRuntimeDefault;
  EXPECT_THAT(process().seccomp.program, Not(IsEmpty()));
  spec.seccomp = {SeccompKind::kLocalhost, R"({"defaultAction":"SCMP_ACT_ALLOW"})", "/p.json"};
  EXPECT_THAT(process().seccomp.program, Not(IsEmpty()));
  spec.seccomp.profile = R"({"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/x",
                             "syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}]})";
  EXPECT_THAT(refusal(Code::kUnimplemented), HasSubstr("needs an agent"));
  spec.seccomp.profile = "";
  EXPECT_THAT(refusal(), HasSubstr("/p.json"));
  spec.seccomp = {SeccompKind::kLocalhost, R"({"defaultAction":"SCMP_ACT_ALLOW"})", ""};  // CVE-2023-2431
  EXPECT_THAT(refusal(), HasSubstr("path"));
}

TEST_F(BuildPlan, Limits) {
  host.hard_limits[RLIMIT_NOFILE] = 4096;
  spec.rlimits = {{"RLIMIT_NOFILE", 1024, 65536}, {"core", 0, kUnlimited}};
  auto limits = process().rlimits;
  ASSERT_EQ(limits.size(), 2U);
  EXPECT_EQ(limits[0].resource, RLIMIT_NOFILE);
  EXPECT_EQ(limits[0].hard, 65536U);
  EXPECT_EQ(limits[1].hard, static_cast<std::uint64_t>(RLIM_INFINITY));

  host.has_sys_resource = false;
  std::string message = refusal(Code::kFailedPrecondition);
  EXPECT_THAT(message, HasSubstr("65536"));
  EXPECT_THAT(message, HasSubstr("4096"));
  spec.rlimits = {{"NOFILE", 1024, 4096}};
  EXPECT_EQ(process().rlimits.size(), 1U);

  host.has_sys_resource = true;
  spec.rlimits = {{"NOFILE", 1, 2000000}};
  EXPECT_THAT(refusal(Code::kFailedPrecondition), HasSubstr("1048576"));
  spec.rlimits = {{"NOFILE", 5, 4}};
  EXPECT_THAT(refusal(), HasSubstr("above its hard limit 4"));
  spec.rlimits = {{"RLIMIT_FOO", 1, 1}};
  EXPECT_THAT(refusal(), HasSubstr("RLIMIT_FOO"));
  spec.rlimits = {{"CORE", 1, 1}, {"RLIMIT_CORE", 1, 1}};
  EXPECT_THAT(refusal(), HasSubstr("twice"));

  // What the daemon had before it raised its own.
  host.soft_open_files = 1024;
  spec.rlimits = {{"core", 0, 0}};
  limits = process().rlimits;
  ASSERT_EQ(limits.size(), 2U);
  EXPECT_EQ(limits[1].resource, RLIMIT_NOFILE);
  EXPECT_EQ(limits[1].soft, 1024U);
  EXPECT_EQ(limits[1].hard, 4096U);
  spec.rlimits = {{"NOFILE", 5, 6}};
  limits = process().rlimits;
  ASSERT_EQ(limits.size(), 1U);
  EXPECT_EQ(limits[0].soft, 5U);
}

TEST_F(BuildPlan, OomScore) {
  EXPECT_FALSE(process().set_oom_score_adj);
  spec.oom_score_adj = -997;
  EXPECT_EQ(process().oom_score_adj, -997);
  EXPECT_TRUE(process().set_oom_score_adj);
  host.has_sys_resource = false;
  host.oom_score_adj = -100;
  std::string message = refusal(Code::kFailedPrecondition);
  EXPECT_THAT(message, HasSubstr("-997"));
  EXPECT_THAT(message, HasSubstr("-100"));
  host.restrict_oom_score_adj = true;
  EXPECT_EQ(process().oom_score_adj, -100);
  spec.oom_score_adj = 1000;
  EXPECT_EQ(process().oom_score_adj, 1000);
  for (std::int64_t bad : {-1001L, 1001L, 1L << 40}) {
    spec.oom_score_adj = bad;
    EXPECT_THAT(refusal(), HasSubstr("out of range"));
  }
}

TEST_F(BuildPlan, DefaultFurniture) {
  host.thermal_cpus = {0, 3};
  auto plan = make();
  ASSERT_TRUE(plan);
  std::vector<std::string> targets;
  for (const MountPlan& mount : plan->mounts) targets.push_back(mount.target);
  EXPECT_THAT(targets, ElementsAre("/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup"));
  EXPECT_EQ(mount_at(*plan, "/dev/shm")->kind, MountKind::kPodShm);
  EXPECT_THAT(mount_at(*plan, "/dev/pts")->options, ElementsAre("newinstance", "ptmxmode=0666", "mode=0620", "gid=5"));
  for (const char* target : {"/sys", "/sys/fs/cgroup"})
    EXPECT_NE(mount_at(*plan, target)->set_attributes & MOUNT_ATTR_RDONLY, 0U);
  for (const MountPlan& mount : plan->mounts) EXPECT_NE(mount.set_attributes & MOUNT_ATTR_NOSUID, 0U) << mount.target;
  EXPECT_EQ(plan->devices.size(), 6U);
  for (const DevicePlan& device : plan->devices)
    EXPECT_EQ(device.mode, static_cast<std::uint32_t>(S_IFCHR | 0666)) << device.path;
  EXPECT_EQ(plan->links.size(), 6U);
  for (const char* path :
       {"/proc/kcore", "/proc/interrupts", "/proc/keys", "/sys/firmware", "/sys/devices/virtual/powercap",
        "/sys/devices/system/cpu/cpu0/thermal_throttle", "/sys/devices/system/cpu/cpu3/thermal_throttle"}) {
    EXPECT_THAT(plan->masked_paths, Contains(path));
  }
  EXPECT_THAT(plan->read_only_paths,
              ElementsAre("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"));
  EXPECT_TRUE(plan->namespaces.new_pid);
  EXPECT_TRUE(plan->namespaces.new_cgroup);
  EXPECT_FALSE(plan->namespaces.new_net);
  EXPECT_TRUE(encode_plan(*plan, fds.size()));
}

TEST_F(BuildPlan, TheHostsHierarchyIsNeverMountedAnew) {
  for (bool privileged : {false, true}) {
    spec.privileged = privileged;
    spec.namespaces.private_cgroup = privileged;
    spec.host_cgroups = kNoFd;
    auto plan = make();
    ASSERT_TRUE(plan);
    EXPECT_FALSE(plan->namespaces.new_cgroup);
    EXPECT_EQ(mount_at(*plan, "/sys/fs/cgroup"), nullptr);
    spec.host_cgroups = 2;
    plan = make();
    ASSERT_TRUE(plan);
    EXPECT_EQ(mount_at(*plan, "/sys/fs/cgroup")->kind, MountKind::kBind);
    EXPECT_EQ((mount_at(*plan, "/sys/fs/cgroup")->set_attributes & MOUNT_ATTR_RDONLY) == 0, privileged);
  }
}

TEST_F(BuildPlan, PathOverrides) {
  spec.masked_paths = {"/bin/ls/", "/a//b"};
  spec.read_only_paths.emplace();
  auto plan = make();
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->masked_paths, ElementsAre("/bin/ls", "/a/b"));
  EXPECT_THAT(plan->read_only_paths, IsEmpty());
  spec.masked_paths = {"proc"};
  EXPECT_THAT(refusal(), HasSubstr("masked path"));
}

TEST_F(BuildPlan, SpecMounts) {
  spec.binds = {
      {.source = 1, .target = "/data/deep/er"},
      {.source = 2, .target = "/data", .read_only = true},
      {.source = 3, .target = "/dev/shm", .propagation = PropagationSpec::kHostToContainer},
      {.source = 1, .target = "/etc/hosts", .target_is_file = true, .propagation = PropagationSpec::kBidirectional},
      {.source = 2, .target = "/rro", .read_only = true, .recursive_read_only = true},
  };
  spec.tmpfs = {{.target = "/run", .options = {"size=64k"}}};
  auto plan = make();
  ASSERT_TRUE(plan) << plan.error().message();
  std::vector<std::string> targets;
  for (const MountPlan& mount : plan->mounts) targets.push_back(mount.target);
  // Defaults first, but for the one that is replaced; then what is nearer to the root.
  EXPECT_THAT(targets, ElementsAre("/proc", "/dev", "/dev/pts", "/dev/mqueue", "/sys", "/sys/fs/cgroup", "/data",
                                   "/rro", "/run", "/dev/shm", "/etc/hosts", "/data/deep/er"));
  const MountPlan* data = mount_at(*plan, "/data");
  EXPECT_EQ(data->kind, MountKind::kBind);
  EXPECT_EQ(data->source, 2);
  EXPECT_EQ(data->set_attributes, static_cast<std::uint64_t>(MOUNT_ATTR_RDONLY));
  EXPECT_EQ(data->tree_set_attributes, 0U);
  EXPECT_EQ(data->tree_propagation, static_cast<std::uint64_t>(sys::Propagation::kPrivate));
  EXPECT_EQ(mount_at(*plan, "/dev/shm")->tree_propagation, static_cast<std::uint64_t>(sys::Propagation::kSlave));
  EXPECT_EQ(mount_at(*plan, "/etc/hosts")->tree_propagation, static_cast<std::uint64_t>(sys::Propagation::kUnchanged));
  EXPECT_TRUE(mount_at(*plan, "/etc/hosts")->target_is_file);
  EXPECT_EQ(mount_at(*plan, "/rro")->tree_set_attributes, static_cast<std::uint64_t>(MOUNT_ATTR_RDONLY));
  EXPECT_TRUE(encode_plan(*plan, fds.size()));
}

TEST_F(BuildPlan, AMountHidesTheDefaultsBeneathIt) {
  spec.binds = {{.source = 1, .target = "/dev/"}, {.source = 2, .target = "/sys"}};
  auto plan = make();
  ASSERT_TRUE(plan);
  std::vector<std::string> targets;
  for (const MountPlan& mount : plan->mounts) targets.push_back(mount.target);
  EXPECT_THAT(targets, ElementsAre("/proc", "/dev", "/sys"));
  EXPECT_THAT(plan->devices, IsEmpty());
  EXPECT_THAT(plan->links, IsEmpty());
  spec.binds = {{.source = 1, .target = "/device"}, {.source = 2, .target = "/dev/shmem"}};
  plan = make();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->mounts.size(), 9U);
  EXPECT_EQ(plan->devices.size(), 6U);
  // A privileged container has the host's devices, and here some of their folders beside.
  spec.devices = {{"/dev/bus/usb/001/002", S_IFCHR | 0664, 189, 1, 0, 0}, {"/dev/kmsg", S_IFCHR | 0644, 1, 11, 0, 0}};
  spec.binds = {{.source = 1, .target = "/dev/bus/usb"}, {.source = 2, .target = "/dev/null", .target_is_file = true}};
  plan = make();
  ASSERT_TRUE(plan);
  std::vector<std::string> devices;
  for (const DevicePlan& device : plan->devices) devices.push_back(device.path);
  EXPECT_THAT(devices, ElementsAre("/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/kmsg"));
}

TEST_F(BuildPlan, BadMounts) {
  struct Row {
    BindMountSpec bind;
    const char* reason;
  };
  for (const auto& [bind, reason] : {
           Row{{.source = 1, .target = ""}, "absolute"},
           Row{{.source = 1, .target = "data"}, "absolute"},
           Row{{.source = 1, .target = "/"}, "root"},
           Row{{.source = 1, .target = "/a/.."}, "root"},
           Row{{.source = 1, .target = std::string("/a\0b", 4)}, "NUL"},
           Row{{.source = kNoFd, .target = "/a"}, "no source"},
           Row{{.source = 4, .target = "/a"}, "descriptor 4 of 4"},
           Row{{.source = 1, .target = "/a", .recursive_read_only = true}, "not read-only"},
           Row{{.source = 1,
                .target = "/a",
                .read_only = true,
                .recursive_read_only = true,
                .propagation = PropagationSpec::kBidirectional},
               "private"},
           Row{{.source = 1, .target = "/proc"}, "/proc"},
           Row{{.source = 1, .target = "/proc/1"}, "/proc"},
           Row{{.source = 1, .target = "/x/../proc/sys/kernel"}, "/proc"},
           Row{{.source = 1, .target = "/proc/sys", .source_is_procfs = true}, "/proc"},
       }) {
    spec.binds = {bind};
    EXPECT_THAT(refusal(), HasSubstr(reason)) << bind.target;
  }
  spec.binds = {{.source = 1, .target = "/proc", .source_is_procfs = true}, {.source = 2, .target = "/proc/meminfo"}};
  EXPECT_TRUE(make());
  spec.binds = {};
  spec.tmpfs = {{.target = "/proc/x"}};
  EXPECT_THAT(refusal(), HasSubstr("/proc"));
  spec.tmpfs = {};
  spec.devices = {{"/dev/x", 0644, 1, 3, 0, 0}};
  EXPECT_THAT(refusal(), HasSubstr("/dev/x"));
  spec.devices = {{"/dev/../x", S_IFCHR | 0644, 1, 3, 0, 0}};
  EXPECT_THAT(refusal(), HasSubstr("clean"));
}

TEST_F(BuildPlan, Namespaces) {
  spec.namespaces.pid = PidMode::kNode;
  EXPECT_FALSE(make()->namespaces.new_pid);
  spec.namespaces = {.pid = PidMode::kPod, .pid_of = 3};
  EXPECT_EQ(make()->namespaces.join_pid, 3);
  EXPECT_FALSE(make()->namespaces.new_pid);
  spec.namespaces.pid_of = 9;
  EXPECT_THAT(refusal(), HasSubstr("pid_of"));
  spec.namespaces = {.private_cgroup = false, .new_net = true, .new_ipc = true, .new_uts = true};
  spec.hostname = "me";
  spec.private_shm_bytes = 65536;
  auto plan = make();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->hostname, "me");
  EXPECT_TRUE(plan->namespaces.new_net && plan->namespaces.new_ipc && plan->namespaces.new_uts);
  EXPECT_FALSE(plan->namespaces.new_cgroup);
  EXPECT_EQ(mount_at(*plan, "/dev/shm")->type, "tmpfs");
  spec.hostname = "a\nb";
  EXPECT_THAT(refusal(), HasSubstr("hostname"));
  spec.hostname = "";
  spec.sysctls = {{"../x", "1"}};
  EXPECT_THAT(refusal(), HasSubstr("sysctl"));
}

TEST_F(BuildPlan, UserNamespaceOfThePod) {
  spec.users = UsersSpec{.space = 2, .uid = 100000, .gid = 200000, .uids = 65536, .gids = 65536};
  spec.root.upper = 1;
  auto plan = make();
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->namespaces.join_user, 2);
  EXPECT_TRUE(plan->namespaces.in_user);
  EXPECT_FALSE(plan->namespaces.new_user);
  EXPECT_EQ(plan->namespaces.root_uid, 100000U);
  EXPECT_EQ(plan->namespaces.root_gid, 200000U);
  EXPECT_TRUE(encode_plan(*plan, fds.size()));
  spec.user.uid = 65535;
  spec.user.gid = 65535;
  EXPECT_TRUE(make());
  spec.user.uid = 65536;
  EXPECT_THAT(refusal(), HasSubstr("user 65536 is not in the pod's user namespace, whose ids are 0 to 65535"));
  spec.user.uid = 0;
  spec.user.gid = 70000;
  EXPECT_THAT(refusal(), HasSubstr("group 70000"));
  spec.user.gid.reset();
  spec.user.supplemental_groups = {65536};
  EXPECT_THAT(refusal(), HasSubstr("group 65536"));
  spec.user.supplemental_groups.clear();
  spec.users->space = 9;
  EXPECT_THAT(refusal(), HasSubstr("users.space names descriptor 9 of 4"));
  spec.users->space = 2;
  // The terminals' group is none of its.
  auto pts_options = [&] {
    for (const auto& mount : make()->mounts) {
      if (mount.target == "/dev/pts") return mount.options;
    }
    return std::vector<std::string>();
  };
  EXPECT_THAT(pts_options(), Contains("gid=5"));
  spec.users->gids = 5;
  EXPECT_THAT(pts_options(), Not(Contains("gid=5")));

  auto exec = plan_exec({.args = {"sh"}, .join_process = 0, .users = spec.users}, ProcessPlan());
  ASSERT_TRUE(exec);
  EXPECT_TRUE(exec->namespaces.join_process_user && exec->namespaces.in_user);
  EXPECT_EQ(exec->namespaces.join_user, kNoFd);
  EXPECT_EQ(exec->namespaces.root_uid, 100000U);
}

TEST_F(BuildPlan, Exec) {
  spec.user.uid = 33;
  spec.seccomp.kind = SeccompKind::kRuntimeDefault;
  spec.oom_score_adj = 5;
  spec.working_dir = "/srv";
  ProcessPlan container = process();
  auto plan = plan_exec({.args = {"sh", "-c", "id"},
                         .env = {"A=1", "HOME=/h"},
                         .terminal = true,
                         .rows = 24,
                         .columns = 80,
                         .join_process = 0},
                        container);
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->namespaces.join_process, 0);
  EXPECT_FALSE(plan->namespaces.new_pid);
  EXPECT_THAT(plan->mounts, IsEmpty());
  const ProcessPlan& made = plan->process;
  EXPECT_THAT(made.args, ElementsAre("sh", "-c", "id"));
  EXPECT_EQ(made.uid, 33U);
  EXPECT_EQ(made.groups, container.groups);
  EXPECT_EQ(made.capabilities.bounding, container.capabilities.bounding);
  EXPECT_EQ(made.capabilities.inheritable, 0U);
  EXPECT_EQ(made.seccomp.program, container.seccomp.program);
  EXPECT_EQ(made.cwd, "/srv");
  EXPECT_FALSE(made.make_cwd);
  EXPECT_TRUE(made.terminal);
  EXPECT_EQ(made.rows, 24);
  EXPECT_EQ(made.oom_score_adj, 5);
  EXPECT_THAT(made.env, Contains("TERM=xterm"));
  EXPECT_THAT(made.env, Contains("A=1"));
  EXPECT_THAT(made.env, Contains("HOME=/h"));
  EXPECT_TRUE(encode_plan(*plan, 1));

  EXPECT_FALSE(plan_exec({.args = {}, .join_process = 0}, container));
  EXPECT_FALSE(plan_exec({.args = {""}, .join_process = 0}, container));
  EXPECT_FALSE(plan_exec({.args = {"sh"}}, container));
  EXPECT_FALSE(plan_exec({.args = {"sh"}, .env = {"bad"}, .join_process = 0}, container));
  auto plain = plan_exec({.args = {"sh"}, .join_process = 0}, container);
  ASSERT_TRUE(plain);
  EXPECT_FALSE(plain->process.terminal);
  EXPECT_EQ(plain->process.env, container.env);
}

TEST(FdListTest, IsBounded) {
  FdList fds;
  EXPECT_FALSE(fds.add(OwnFd()));
  for (std::size_t i = 0; i < FdList::kMaxFds; ++i) {
    auto index = fds.add(OwnFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
    ASSERT_TRUE(index);
    EXPECT_EQ(*index, static_cast<FdIndex>(i));
  }
  auto over = fds.add(OwnFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
  ASSERT_FALSE(over);
  EXPECT_TRUE(over.error().is_resource());
  EXPECT_EQ(std::move(fds).take().size(), FdList::kMaxFds);
}

TEST(CleanPath, FoldsAsGoDoes) {
  for (auto [path, clean] :
       {std::pair("/", "/"), std::pair("//", "/"), std::pair("/a/", "/a"), std::pair("/a//b/./c", "/a/b/c"),
        std::pair("/a/../b", "/b"), std::pair("/..", "/"), std::pair("/../../a", "/a"), std::pair("/a/b/../..", "/"),
        std::pair("/...", "/..."), std::pair("/a/..b", "/a/..b")}) {
    EXPECT_EQ(*clean_path(path, "test"), clean) << path;
  }
}

TEST(HostFactsTest, OfThisMachine) {
  auto facts = read_host_facts();
  ASSERT_TRUE(facts) << facts.error().message();
  auto status = sys::read_file(sys::kCwd, "/proc/self/status", 65536);
  ASSERT_TRUE(status);
  auto line = [&](std::string_view name) {
    return *parse_number<CapabilitySet>(std::string_view(*status).substr(status->find(name) + name.size(), 16), 16);
  };
  EXPECT_EQ(facts->capabilities, line("\nCapBnd:\t") & line("\nCapPrm:\t"));
  EXPECT_GE(facts->oom_score_adj, -1000);
  EXPECT_LE(facts->oom_score_adj, 1000);
  EXPECT_GE(facts->max_open_files, 1024U);
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(facts->hard_limits[RLIMIT_NOFILE], limit.rlim_max);
  EXPECT_EQ(facts->soft_open_files, limit.rlim_cur);
  EXPECT_EQ(read_launch_facts()->capabilities, facts->capabilities);
}

}  // namespace
}  // namespace gantry::runtime
