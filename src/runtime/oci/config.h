// SPDX-License-Identifier: Apache-2.0
// config.json of an OCI bundle (runtime spec 1.2, Linux) as plain structs: what gantry-oci uses of it, in the
// specification's words. Strict: a field of the wrong type or with an unknown value is kInvalidArgument, and its
// message names the field as a JSON path, the value and what was expected; one that is known and not supported yet is
// kUnimplemented. Fields that the specification does not know are ignored, as it says. Nothing here touches a file or
// the kernel.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cgroups/device_filter.h"
#include "cgroups/resources.h"
#include "runtime/launch/run_hooks.h"
#include "runtime/oci/id_mappings.h"
#include "runtime/plan/plan.h"

namespace gantry::runtime::oci {

inline constexpr std::size_t kMaxConfigBytes = 8U << 20;

struct User {
  std::uint32_t uid = 0, gid = 0;
  std::optional<std::uint32_t> umask;
  std::vector<std::uint32_t> additional_gids;
};

// Names, as they stand there.
struct Capabilities {
  std::vector<std::string> bounding, effective, permitted, inheritable, ambient;
};

struct Rlimit {
  std::string type;
  std::uint64_t soft = 0, hard = 0;
};

struct Process {
  bool terminal = false;
  std::uint16_t rows = 0, columns = 0;
  User user;
  std::vector<std::string> args, env;
  std::string cwd;
  Capabilities capabilities;
  std::vector<Rlimit> rlimits;
  bool no_new_privileges = false;
  std::string apparmor_profile, selinux_label;
  std::optional<std::int32_t> oom_score_adj;
  SchedulePlan schedule;  // but for its cpus
  // Of an exec, as masks: before and once it is in the container's cgroup. Empty: as it is.
  std::string initial_cpus, final_cpus;
};

struct Mount {
  std::string destination, type, source;
  std::vector<std::string> options;
  IdMappings ids;
};

using runtime::Hook;

struct Hooks {
  std::vector<Hook> prestart, create_runtime, create_container, start_container, poststart, poststop;
};

enum class NamespaceKind : std::uint8_t { kPid, kNetwork, kMount, kIpc, kUts, kCgroup, kUser, kTime };
inline constexpr std::size_t kNamespaceKinds = 8;
// "pid", "network", ...: the specification's names.
const char* to_string(NamespaceKind kind);

struct Namespace {
  bool is_listed = false;
  std::string path;  // joined; empty: made anew
  bool is_new() const { return is_listed && path.empty(); }
};

// Of a new time namespace: what is added to the host's clock.
struct TimeOffset {
  std::string clock;  // "monotonic", "boottime"
  std::int64_t seconds = 0;
  std::uint32_t nanoseconds = 0;
};

struct Device {
  std::string type;  // "c", "u", "b", "p"
  std::string path;
  std::uint32_t major = 0, minor = 0;
  std::optional<std::uint32_t> file_mode;
  std::uint32_t uid = 0, gid = 0;
};

struct Linux {
  std::array<Namespace, kNamespaceKinds> namespaces;
  const Namespace& of(NamespaceKind kind) const { return namespaces[static_cast<std::size_t>(kind)]; }
  IdMappings ids;  // of a new user namespace; of one that is joined they mean nothing
  std::vector<TimeOffset> time_offsets;
  std::vector<Device> devices;
  std::string cgroups_path;
  cgroups::Resources resources;
  bool has_limits = false;                        // some of these were given
  std::vector<cgroups::DeviceRule> device_rules;  // linux.resources.devices
  bool check_memory_before_update = false;        // linux.resources.memory.checkBeforeUpdate
  std::map<std::string, std::string> sysctl;
  std::string seccomp;  // its JSON text; empty: none
  std::string rootfs_propagation;
  std::string mount_label;
  std::vector<std::string> masked_paths, read_only_paths;
  std::optional<std::uint32_t> personality;
};

struct Config {
  std::string oci_version;
  std::optional<Process> process;  // needed when the container is started
  std::string root_path;
  bool root_read_only = false;
  std::string hostname, domainname;
  std::vector<Mount> mounts;
  Hooks hooks;
  std::map<std::string, std::string> annotations;
  Linux linux_;
};

Result<Config> parse_config(std::string_view text);
// The text of `update --resources`: a linux.resources object, and what it gives of a Linux; limits that go with others
// which are in force already have not been validated together.
Result<Linux> parse_resources(std::string_view text);
// The file of `exec --process`: one process object.
Result<Process> parse_process(std::string_view text);
// What stands for a process where there is none: it has no program and no privileges.
Process idle_process();

}  // namespace gantry::runtime::oci
