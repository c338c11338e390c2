// SPDX-License-Identifier: Apache-2.0
// What gantry-oci says of itself, and the configuration that it offers to begin with.
#include <fcntl.h>
#include <linux/capability.h>
#include <unistd.h>

#include <boost/json.hpp>

#include "base/text.h"
#include "cli/oci_commands.h"
#include "runtime/oci/mount_options.h"
#include "runtime/plan/capabilities.h"
#include "runtime/plan/host_facts.h"
#include "sys/file.h"

namespace gantry::cli {
namespace {

namespace json = boost::json;

json::array capability_names() {
  json::array names;
  for (int number = 0; number <= runtime::kLastNamedCapability; ++number)
    names.emplace_back(runtime::capability_name(number));
  return names;
}

json::object seccomp_features() {
  json::array flags = {"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
                       "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"};
  return {{"enabled", true},
          {"actions",
           {"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD",
            "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP"}},
          {"operators",
           {"SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ",
            "SCMP_CMP_NE"}},
#if defined(__x86_64__)
          {"archs", {"SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"}},
#elif defined(__aarch64__)
          {"archs", {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"}},
#endif
          {"knownFlags", flags},
          {"supportedFlags", flags}};
}

// The mounts, names and paths that every runtime's `spec` offers.
constexpr std::string_view kDefaultConfig = R"({
  "ociVersion": "1.2.0",
  "process": {
    "terminal": true,
    "user": {"uid": 0, "gid": 0},
    "args": ["sh"],
    "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
    "cwd": "/",
    "capabilities": {
      "bounding": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
      "effective": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
      "permitted": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
    },
    "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
    "noNewPrivileges": true
  },
  "root": {"path": "rootfs", "readonly": true},
  "hostname": "gantry",
  "mounts": [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
     "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
    {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
     "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
    {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
     "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
    {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
    {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
     "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}
  ],
  "linux": {
    "resources": {"devices": [{"allow": false, "access": "rwm"}]},
    "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
                   {"type": "cgroup"}],
    "maskedPaths": ["/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
                    "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
                    "/sys/devices/virtual/powercap", "/sys/firmware"],
    "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
  }
}
)";

// What only root can have is left out; the network, with which a new namespace has no connection, stays the host's.
std::string rootless_config() {
  std::string text(kDefaultConfig);
  auto replace = [&text](std::string_view part, std::string_view by) {
    text.replace(text.find(part), part.size(), by);
  };
  replace(", \"gid=5\"", "");
  replace("\"type\": \"sysfs\", \"source\": \"sysfs\", \"options\": [",
          "\"type\": \"none\", \"source\": \"/sys\", \"options\": [\"rbind\", \"rro\", ");
  replace("{\"type\": \"network\"}, ", "");
  replace("{\"type\": \"cgroup\"}],", cat("{\"type\": \"cgroup\"}, {\"type\": \"user\"}],\n"
                                          "    \"uidMappings\": [{\"containerID\": 0, \"hostID\": ",
                                          ::geteuid(),
                                          ", \"size\": 1}],\n"
                                          "    \"gidMappings\": [{\"containerID\": 0, \"hostID\": ",
                                          ::getegid(), ", \"size\": 1}],"));
  return text;
}

}  // namespace

Result<std::string> features_json() {
  auto host = runtime::read_launch_facts();
  if (!host) return std::unexpected(std::move(host.error()));
  json::array options;
  for (const std::string& name : runtime::oci::known_mount_options()) options.emplace_back(name);
  json::object features = {
      {"ociVersionMin", "1.0.0"},
      {"ociVersionMax", "1.2.1"},
      {"hooks", {"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}},
      {"mountOptions", std::move(options)},
      {"linux",
       {{"namespaces", {"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"}},
        {"capabilities", capability_names()},
        {"cgroup", {{"v1", false}, {"v2", true}, {"systemd", true}, {"systemdUser", false}, {"rdma", false}}},
        {"seccomp", seccomp_features()},
        {"apparmor", {{"enabled", host->has_apparmor}}},
        {"selinux", {{"enabled", host->has_selinux}}},
        {"intelRdt", {{"enabled", false}}},
        {"mountExtensions", {{"idmap", {{"enabled", true}}}}}}},
  };
  return std::string(json::serialize(features));
}

Status write_default_config(const std::string& bundle, bool is_rootless) {
  auto dir = sys::open_dir(sys::kCwd, bundle.c_str());
  if (!dir) return fail_with(std::move(dir.error()), "--bundle");
  auto file = sys::openat(*dir, "config.json", O_WRONLY | O_CREAT | O_EXCL, 0644);
  if (!file && file.error().is_already_exists())
    return fail(Code::kAlreadyExists, "config.json is there already: it is not replaced");
  if (!file) return std::unexpected(std::move(file.error()));
  return sys::write_all(*file, is_rootless ? rootless_config() : std::string(kDefaultConfig));
}

}  // namespace gantry::cli
