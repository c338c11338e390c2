// SPDX-License-Identifier: Apache-2.0
#include "runtime/oci/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "runtime/oci/oci_plan.h"

namespace gantry::runtime::oci {
namespace {

namespace json = boost::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A small whole configuration; tests change what they are about.
json::object small() {
  return json::parse(R"({
    "ociVersion": "1.2.0",
    "process": {"args": ["/bin/true"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 7, "gid": 8}},
    "root": {"path": "rootfs"},
    "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}]}
  })")
      .as_object();
}

Result<Config> parsed(const json::object& config) { return parse_config(std::string(json::serialize(config))); }

// What is said against small() with the value at `path` ("linux/devices/0/type") replaced.
std::string refusal(std::string_view path, std::string_view value) {
  json::object document = small();
  json::object* object = &document;
  path.remove_prefix(1);
  for (std::size_t slash; (slash = path.find('/')) != path.npos; path.remove_prefix(slash + 1))
    object = &(*object)[json::string_view(path.data(), slash)].as_object();
  (*object)[json::string_view(path.data(), path.size())] = json::parse(json::string_view(value.data(), value.size()));
  auto config = parsed(document);
  if (!config) return config.error().message();
  SeccompCache seccomp;
  auto plan = plan_config(*config, HostFacts(), seccomp);
  return plan ? "" : plan.error().message();
}

TEST(OciConfig, ASmallOneIsTaken) {
  auto config = parsed(small());
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->oci_version, "1.2.0");
  EXPECT_EQ(config->process->user.uid, 7U);
  EXPECT_THAT(config->process->args, ElementsAre("/bin/true"));
  EXPECT_TRUE(config->linux_.of(NamespaceKind::kPid).is_new());
  EXPECT_FALSE(config->linux_.of(NamespaceKind::kCgroup).is_listed);
}

TEST(OciConfig, UnknownFieldsAndNullsAreIgnored) {
  auto object = small();
  object["future"] = {{"deep", 1}};
  object["hooks"] = nullptr;
  object["linux"].as_object()["resources"] = {{"memory", nullptr}, {"new", 1}};
  EXPECT_TRUE(parsed(object));
}

TEST(OciConfig, AWrongFieldIsNamedWithItsValueAndWhatWasExpected) {
  struct Case {
    const char *path, *value, *message;
  };
  constexpr Case kCases[] = {
      {"/ociVersion", "5", "ociVersion: 5 is wrong: a text without NUL was expected"},
      {"/ociVersion", "\"2.0.0\"", "ociVersion: \"2.0.0\" is not supported"},
      {"/root", "[]", "root: a list is wrong: an object was expected"},
      {"/root/path", "\"\"", "root.path: is missing"},
      {"/root/readonly", "\"yes\"", "root.readonly: \"yes\" is wrong: true or false was expected"},
      {"/process/args", "[]", "process.args: is missing: a program to run was expected"},
      {"/process/args", "[\"a\", 5]", "process.args[1]: 5 is wrong: a text without NUL was expected"},
      {"/process/args", "[\"a\\u0000b\"]", "process.args[0]: \"a\\x00b\" is wrong"},
      {"/process/cwd", "\"relative\"", "process.cwd: \"relative\" is wrong: an absolute path was expected"},
      {"/process/cwd", "\"\"", "process.cwd: \"\" is wrong: an absolute path was expected"},
      {"/process/apparmorProfile", "\"own\"",
       "process.apparmorProfile: \"own\" can't be taken on: this host has no AppArmor"},
      {"/process/selinuxLabel", "\"a:b:c\"",
       "process.selinuxLabel: \"a:b:c\" can't be taken on: this host has no SELinux"},
      {"/process/user/uid", "-1", "process.user.uid: -1 is wrong: a number from 0 to 4294967294 was expected"},
      {"/process/user/uid", "4294967295", "process.user.uid: 4294967295 is wrong"},
      {"/process/user/uid", "1.5", "process.user.uid: 1.5E0 is wrong"},
      {"/process/user/additionalGids", "[4294967296]", "process.user.additionalGids[0]: 4294967296 is wrong"},
      {"/process/rlimits", "[{\"type\": \"NOFILE\", \"soft\": 1, \"hard\": 1}]", "process.rlimits[0].type"},
      {"/process/rlimits", "[{\"type\": \"RLIMIT_NONE\", \"soft\": 1, \"hard\": 1}]", "RLIMIT_NONE"},
      {"/process/rlimits", "[{\"type\": \"RLIMIT_CORE\", \"soft\": 1}]", "process.rlimits[0].hard: is missing"},
      {"/process/oomScoreAdj", "1001", "process.oomScoreAdj: 1001 is wrong: a number from -1000 to 1000 was expected"},
      {"/mounts", "[{\"type\": \"tmpfs\"}]", "mounts[0].destination: is missing"},
      {"/mounts", "[{\"destination\": \"/a\"}]", "mounts[0].type: is missing"},
      {"/mounts", "[{\"destination\": \"/a\", \"options\": [\"bind\"]}]", "mounts[0].source: is missing"},
      {"/mounts", "[{\"destination\": \"/\", \"type\": \"tmpfs\"}]", "mounts[0].destination: \"/\" is the root itself"},
      {"/mounts", "[{\"destination\": \"/proc/self\", \"type\": \"tmpfs\"}]",
       "mounts[0].destination: \"/proc/self\" is inside /proc"},
      {"/mounts", "[{\"destination\": \"/a\", \"source\": \"/a\", \"options\": [\"bind\", \"rubbish\"]}]",
       "mounts[0].options: option \"rubbish\" is unknown for a bind mount"},
      {"/linux/namespaces", "[{\"type\": \"user\"}, {\"type\": \"mount\", \"path\": \"/a\"}]",
       "linux.namespaces: a user namespace needs a mount namespace of its own beside it"},
      {"/linux/namespaces", "[{\"type\": \"user\", \"path\": \"/a\"}]",
       "linux.namespaces: a user namespace needs a mount namespace of its own beside it"},
      {"/linux/namespaces", "[{\"type\": \"mount\"}, {\"type\": \"moon\"}]",
       "linux.namespaces[1].type: \"moon\" is unknown: pid, network"},
      {"/linux/namespaces", "[{\"type\": \"mount\"}, {\"type\": \"pid\"}, {\"type\": \"pid\"}]",
       "linux.namespaces[2].type: \"pid\" is given twice"},
      {"/linux/namespaces", "[{\"type\": \"mount\"}, {\"type\": \"pid\", \"path\": \"x\"}]",
       "linux.namespaces[1].path: \"x\" is wrong"},
      {"/linux/devices", "[{\"path\": \"/dev/a\", \"type\": \"x\", \"major\": 1, \"minor\": 1}]",
       "linux.devices[0].type: \"x\" is unknown"},
      {"/linux/devices", "[{\"path\": \"/dev/a\", \"type\": \"c\"}]", "linux.devices[0].major: is missing"},
      {"/linux/devices", "[{\"path\": \"/dev/a\", \"type\": \"c\", \"major\": 1}]",
       "linux.devices[0].minor: is missing"},
      {"/linux/devices", "[{\"path\": \"/dev/a\", \"type\": \"p\", \"uid\": 4294967295}]",
       "linux.devices[0].uid: 4294967295 is wrong: a number from 0 to 4294967294 was expected"},
      {"/process/user/additionalGids", "[1, 4294967295]",
       "process.user.additionalGids[1]: 4294967295 is wrong: a number from 0 to 4294967294 was expected"},
      {"/linux/sysctl", "{\"kernel.panic\": \"1\"}", "linux.sysctl: \"kernel.panic\" is in no namespace"},
      {"/linux/sysctl", "{\"net.ipv4.ip_forward\": 1}", "linux.sysctl.net.ipv4.ip_forward: 1 is wrong"},
      {"/linux/rootfsPropagation", "\"sideways\"", "linux.rootfsPropagation: \"sideways\" is unknown"},
      {"/linux/maskedPaths", "[\"proc\"]", "linux.maskedPaths[0]: \"proc\" is not an absolute path"},
      {"/linux/personality", "{\"domain\": \"SOLARIS\"}", "linux.personality.domain: \"SOLARIS\" is unknown"},
      {"/linux/seccomp", "{\"defaultAction\": \"SCMP_ACT_DANCE\"}",
       "linux.seccomp: defaultAction: \"SCMP_ACT_DANCE\" is unknown"},
      {"/linux/resources", "{\"pids\": {\"limit\": \"many\"}}", "linux.resources.pids.limit: \"many\" is wrong"},
      {"/linux/resources", "{\"devices\": [{\"allow\": true, \"access\": \"rx\"}]}",
       "linux.resources.devices[0].access"},
      {"/linux/resources", "{\"unified\": {\"cgroup.procs\": \"1\"}}", "linux.resources.unified: unified"},
      {"/linux/resources", "{\"cpu\": {\"period\": 1}, \"unified\": {}}",
       "linux.resources.cpu: cpu period 1: expected"},
      {"/hooks", "{\"poststop\": [{\"path\": \"a\"}]}",
       "hooks.poststop[0].path: \"a\" is wrong: an absolute path was expected"},
      {"/hooks", "{\"startContainer\": [{}]}", "hooks.startContainer[0].path: is missing"},
      {"/hooks", "{\"createContainer\": [{\"path\": \"/a\", \"env\": [1]}]}",
       "hooks.createContainer[0].env[0]: 1 is wrong"},
      {"/hooks", "{\"prestart\": [{\"path\": \"/a\", \"timeout\": 0}]}", "hooks.prestart[0].timeout: 0 is wrong"},
  };
  for (const Case& each : kCases) {
    EXPECT_THAT(refusal(each.path, each.value), HasSubstr(each.message)) << each.path << " = " << each.value;
  }
}

TEST(OciConfig, WhatIsNotSupportedIsRefusedByName) {
  constexpr std::pair<const char*, const char*> kCases[] = {
      {"/linux/intelRdt", "{\"closID\": \"a\"}"},
      {"/linux/resources", "{\"memory\": {\"swappiness\": 5}}"},
      {"/linux/resources", "{\"rdma\": {\"mlx5_1\": {\"hcaHandles\": 3}}}"},
      {"/windows", "{\"layerFolders\": [\"a\"]}"},
      {"/mounts", "[{\"destination\": \"/a\", \"source\": \"/a\", \"options\": [\"bind\", \"remount\"]}]"},
  };
  for (auto [path, value] : kCases) {
    EXPECT_THAT(refusal(path, value), ::testing::AnyOf(HasSubstr("not supported"), HasSubstr("cgroup v2 has nothing"),
                                                       HasSubstr("another platform")))
        << path << " = " << value;
  }
  // Named, but empty: nothing is asked for.
  for (auto [path, value] : {std::pair("/linux/uidMappings", "[]"), std::pair("/process/selinuxLabel", "\"\""),
                             std::pair("/linux/intelRdt", "null"), std::pair("/hooks", "{\"startContainer\": []}")})
    EXPECT_EQ(refusal(path, value), "") << path;
}

TEST(OciConfig, TimeOffsetsAreOfANewTimeNamespace) {
  auto object = small();
  auto& linux_object = object["linux"].as_object();
  linux_object["timeOffsets"] =
      json::parse(R"({"monotonic": {"secs": -5, "nanosecs": 7}, "boottime": {"secs": 86400}})");
  EXPECT_THAT(parsed(object).error().message(), HasSubstr("linux.timeOffsets: needs a new time namespace"));
  auto& spaces = linux_object["namespaces"].as_array();
  spaces.push_back({{"type", "time"}});
  auto config = parsed(object);
  ASSERT_TRUE(config) << config.error().message();
  SeccompCache seccomp(1);
  auto plan = plan_config(*config, HostFacts(), seccomp);
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_TRUE(plan->plan.namespaces.new_time);
  EXPECT_EQ(plan->plan.namespaces.time_offsets, "monotonic -5 7\nboottime 86400 0\n");
  spaces.back().as_object()["path"] = "/proc/1/ns/time";
  EXPECT_THAT(parsed(object).error().message(), HasSubstr("linux.timeOffsets: needs a new time namespace"));
  for (auto [value, message] :
       {std::pair("{\"realtime\": {\"secs\": 1}}", "linux.timeOffsets.\"realtime\": is unknown"),
        std::pair("{\"monotonic\": {\"secs\": 1.5}}", "linux.timeOffsets.monotonic.secs: 1.5E0 is wrong"),
        std::pair("{\"monotonic\": {\"secs\": 9223372036854775807}}", "linux.timeOffsets.monotonic.secs"),
        std::pair("{\"boottime\": {\"nanosecs\": 1000000000}}", "linux.timeOffsets.boottime.nanosecs: 1000000000")})
    EXPECT_THAT(refusal("/linux/timeOffsets", value), HasSubstr(message));
}

TEST(OciConfig, HowItIsScheduled) {
  auto object = small();
  auto& process = object["process"].as_object();
  process["scheduler"] = {{"policy", "SCHED_BATCH"}, {"nice", 5}, {"flags", {"SCHED_FLAG_RESET_ON_FORK"}}};
  process["ioPriority"] = {{"class", "IOPRIO_CLASS_IDLE"}};
  process["execCPUAffinity"] = {{"initial", "0"}, {"final", "1,3-4,64"}};
  auto config = parsed(object);
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->process->schedule.policy, 3U);
  EXPECT_EQ(config->process->schedule.nice, 5);
  EXPECT_EQ(config->process->schedule.flags, 1U);
  EXPECT_EQ(config->process->schedule.io_priority, 3U << 13);
  EXPECT_EQ(config->process->initial_cpus, std::string("\1\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(config->process->final_cpus, std::string("\x1a\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0", 16));
  for (auto [path, value, message] :
       {std::tuple("/process/scheduler", "{\"policy\": \"SCHED_FAST\"}",
                   "process.scheduler.policy: \"SCHED_FAST\" is unknown"),
        std::tuple("/process/scheduler", "{\"policy\": \"SCHED_RR\", \"priority\": 100}",
                   "process.scheduler.priority: 100 is wrong"),
        std::tuple("/process/ioPriority", "{\"class\": \"IOPRIO_CLASS_BE\", \"priority\": 8}",
                   "process.ioPriority.priority: 8 is wrong"),
        std::tuple("/process/execCPUAffinity", "{\"final\": \"3-1\"}",
                   "process.execCPUAffinity.final: \"3-1\" is wrong"),
        std::tuple("/process/execCPUAffinity", "{\"final\": \"99999\"}", "process.execCPUAffinity.final")})
    EXPECT_THAT(refusal(path, value), HasSubstr(message));
}

TEST(OciConfig, SizeAndDepthAreBounded) {
  EXPECT_THAT(parse_config("{").error().message(), HasSubstr("not JSON"));
  EXPECT_THAT(parse_config("[]").error().message(), HasSubstr("object"));
  EXPECT_FALSE(parse_config(std::string(1000, '[')));
  EXPECT_EQ(parse_config(std::string(kMaxConfigBytes + 1, ' ')).error().code(), Code::kResourceExhausted);
}

TEST(OciConfig, AHostnameNeedsANamespaceOfItsOwn) {
  auto object = small();
  object["hostname"] = "box";
  EXPECT_TRUE(parsed(object));
  object["linux"].as_object()["namespaces"] = json::array{json::object{{"type", "mount"}}};
  EXPECT_THAT(parsed(object).error().message(), HasSubstr("hostname: needs a UTS namespace"));
}

TEST(OciConfig, ResourcesAreThoseOfTheCgroups) {
  auto object = small();
  object["linux"].as_object()["resources"] = json::parse(R"({
    "memory": {"limit": 1048576, "reservation": 4096, "swap": 2097152},
    "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0-1", "idle": 1},
    "pids": {"limit": 16},
    "blockIO": {"weight": 100, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1024}]},
    "hugepageLimits": [{"pageSize": "2MB", "limit": 0}],
    "unified": {"memory.high": "65536"},
    "devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 10, "minor": -1, "access": "r"}]})");
  auto config = parsed(object);
  ASSERT_TRUE(config) << config.error().message();
  const cgroups::Resources& resources = config->linux_.resources;
  EXPECT_EQ(resources.memory.limit, 1048576);
  EXPECT_EQ(resources.memory.low, 4096);
  EXPECT_EQ(resources.memory.swap_total, 2097152);
  EXPECT_EQ(resources.cpu.shares, 512U);
  EXPECT_EQ(resources.cpu.idle, true);
  EXPECT_EQ(resources.cpuset.cpus, "0-1");
  EXPECT_EQ(resources.pids, 16);
  EXPECT_EQ(resources.io.throttles.at(0).read_bytes, 1024U);
  EXPECT_EQ(resources.hugepages.at(0).page_size, "2MB");
  EXPECT_EQ(resources.unified.at("memory.high"), "65536");
  ASSERT_EQ(config->linux_.device_rules.size(), 2U);
  EXPECT_EQ(config->linux_.device_rules[1].major, 10U);
  EXPECT_FALSE(config->linux_.device_rules[1].minor.has_value());
  EXPECT_EQ(config->linux_.device_rules[1].access, cgroups::kDeviceRead);
}

}  // namespace
}  // namespace gantry::runtime::oci
