// SPDX-License-Identifier: Apache-2.0
#include "bench/oci_bundle.h"

#include <sys/mount.h>

#include <array>
#include <boost/json.hpp>
#include <fstream>

#include "bench/measure.h"
#include "runtime/plan/seccomp_profile.h"

namespace gantry::bench {
namespace {

namespace json = boost::json;

// What docker and containerd keep by default.
constexpr std::array<const char*, 14> kCapabilities = {
    "CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FSETID",           "CAP_FOWNER",
    "CAP_MKNOD",   "CAP_NET_RAW",      "CAP_SETGID",           "CAP_SETUID",
    "CAP_SETFCAP", "CAP_SETPCAP",      "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT",
    "CAP_KILL",    "CAP_AUDIT_WRITE"};

// As `runc spec` writes it, made smaller to what is the same for all.
constexpr const char* kConfig = R"({
  "ociVersion": "1.0.2",
  "process": {
    "terminal": false, "user": {"uid": 0, "gid": 0}, "args": ["/bin/true"], "cwd": "/", "noNewPrivileges": true,
    "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}]
  },
  "root": {"path": "rootfs", "readonly": false},
  "hostname": "bench",
  "mounts": [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
    {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
     "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
    {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
    {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
    {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}
  ],
  "linux": {
    "resources": {"devices": [{"allow": false, "access": "rwm"}]},
    "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "cgroup"}],
    "maskedPaths": ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                    "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"],
    "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
  }
})";

const char* operator_name(scmp_compare compare) {
  switch (compare) {
    case SCMP_CMP_EQ:
      return "SCMP_CMP_EQ";
    case SCMP_CMP_GT:
      return "SCMP_CMP_GT";
    case SCMP_CMP_MASKED_EQ:
      return "SCMP_CMP_MASKED_EQ";
    default:
      give_up("the default seccomp profile compares in a way that this program does not know");
  }
}

// Names with the same action and without conditions in one entry, as published profiles have them.
json::object seccomp_json(const runtime::SeccompProfile& profile) {
  json::array calls, allowed;
  for (const runtime::SeccompRule& rule : profile.rules) {
    if (rule.action == SCMP_ACT_ALLOW && rule.conditions.empty()) {
      allowed.emplace_back(rule.name);
      continue;
    }
    json::object call{{"names", json::array{json::string(rule.name)}}};
    bool is_allowed = rule.action == SCMP_ACT_ALLOW;
    call["action"] = is_allowed ? "SCMP_ACT_ALLOW" : "SCMP_ACT_ERRNO";
    if (!is_allowed) call["errnoRet"] = rule.action & 0xffff;
    json::array conditions;
    for (const scmp_arg_cmp& condition : rule.conditions) {
      conditions.push_back({{"index", condition.arg},
                            {"value", condition.datum_a},
                            {"valueTwo", condition.datum_b},
                            {"op", operator_name(condition.op)}});
    }
    call["args"] = std::move(conditions);
    calls.push_back(std::move(call));
  }
  calls.push_back({{"names", std::move(allowed)}, {"action", "SCMP_ACT_ALLOW"}});
  return {{"defaultAction", "SCMP_ACT_ERRNO"},
          {"architectures", {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"}},
          {"syscalls", std::move(calls)}};
}

}  // namespace

void write_oci_config(const std::string& folder, const std::string& cgroup, bool limits) {
  json::object config = json::parse(kConfig).as_object();
  json::array names(kCapabilities.begin(), kCapabilities.end());
  config["process"].as_object()["capabilities"] = {{"bounding", names}, {"effective", names}, {"permitted", names}};
  json::object& of_linux = config["linux"].as_object();
  of_linux["cgroupsPath"] = cgroup;
  of_linux["seccomp"] = seccomp_json(runtime::default_seccomp_profile(0));
  if (limits) {
    json::object& resources = of_linux["resources"].as_object();
    resources["memory"] = {{"limit", 256 << 20}, {"swap", 256 << 20}};
    resources["cpu"] = {{"shares", 512}, {"quota", 100000}, {"period", 100000}};
    resources["pids"] = {{"limit", 100}};
  }
  std::ofstream(folder + "/config.json") << config;
}

void make_oci_bundle(const std::string& folder) {
  run_program({"/bin/sh", "-ec",
               "cd \"$0\"; mkdir -p lower/bin lower/proc lower/dev lower/sys upper work rootfs; "
               "cp /bin/busybox lower/bin/true",
               folder});
  std::string options = "lowerdir=" + folder + "/lower,upperdir=" + folder + "/upper,workdir=" + folder + "/work";
  if (::mount("overlay", (folder + "/rootfs").c_str(), "overlay", 0, options.c_str()) < 0)
    give_up("the overlay root can't be mounted");
}

}  // namespace gantry::bench
