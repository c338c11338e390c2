// SPDX-License-Identifier: Apache-2.0
// What goes into a plan, as plain values. ContainerSpec is what the API said, ImageProcess is what the image said: two
// types, so that nothing of an image is ever taken for a control input. Neither holds a descriptor; a mount names its
// source by its index in the FdList that goes along with the plan (build_plan.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/plan/plan.h"

namespace gantry::runtime {

// The image config's share.
struct ImageProcess {
  std::vector<std::string> entrypoint, cmd;
  std::vector<std::string> env;  // "NAME=value"
  std::string user;              // "uid", "name", "uid:gid", "name:group"
  std::string working_dir;
  std::string stop_signal;  // signals.h; not part of a plan
};

enum class GroupsPolicy : std::uint8_t {
  kMerge = 0,   // the image's groups of the user, and the spec's
  kStrict = 1,  // the spec's only
};

// At most one of uid and name; neither: the image's user. A gid needs one of them.
struct UserSpec {
  std::optional<std::int64_t> uid;
  std::string name;
  std::optional<std::int64_t> gid;
  std::vector<std::int64_t> supplemental_groups;
  GroupsPolicy groups_policy = GroupsPolicy::kMerge;
};

// Names with or without "CAP_"; "ALL" in add and drop. Order: the default set (or ALL), less all when ALL is dropped,
// then what is added by name, then what is dropped by name. Ignored for a privileged container, which has all.
struct CapabilitySpec {
  std::vector<std::string> add, drop;
  std::vector<std::string> ambient;  // held also by a non-root user's process; added to the other sets
};

enum class SeccompKind : std::uint8_t { kUnconfined = 0, kRuntimeDefault = 1, kLocalhost = 2 };
struct SeccompSpec {
  SeccompKind kind = SeccompKind::kUnconfined;
  // kLocalhost: its text (docker's or OCI's JSON form, at most kMaxSeccompProfileBytes) and where the caller found it.
  std::string profile;
  std::string path;
};

enum class PropagationSpec : std::uint8_t { kPrivate = 0, kHostToContainer = 1, kBidirectional = 2 };

// A mount on `target`, an absolute path in the container ("a/../b" is folded). It takes the place of a default mount
// there.
struct BindMountSpec {
  FdIndex source = kNoFd;  // a detached clone (sys::clone_mount, recursive)
  std::string target;
  bool target_is_file = false;
  bool source_is_procfs = false;  // only such a one may be put on /proc
  bool read_only = false;
  bool recursive_read_only = false;  // also what is mounted beneath; needs read_only and PropagationSpec::kPrivate
  PropagationSpec propagation = PropagationSpec::kPrivate;
  // MOUNT_ATTR_*, beside these: of the mount, and of it and all that is mounted beneath.
  std::uint64_t set_attributes = 0, clear_attributes = 0;
  std::uint64_t tree_set_attributes = 0, tree_clear_attributes = 0;
};
// A read-only image of the store that root.store is. Not set-uid, no devices.
struct ImageMountSpec {
  std::string overlay;   // "lowerdir=l/4k:/empty"
  std::string sub_path;  // beneath the image's root, "" for all of it; links in it stay in the image
  std::string target;
  bool target_is_file = false;  // what is at sub_path
};
struct TmpfsMountSpec {
  std::string target;
  std::vector<std::string> options;  // tmpfs's: "size=64k", "mode=1777"
  bool read_only = false;
  bool no_exec = true;
};

// A device node in the container. A path is beneath /dev or anywhere else absolute; the caller stats the host's.
using DeviceSpec = DevicePlan;

// "RLIMIT_NOFILE" or "nofile".
struct RlimitSpec {
  std::string type;
  std::uint64_t soft = 0, hard = 0;  // kUnlimited (host_facts.h): none
};

enum class PidMode : std::uint8_t {
  kContainer = 0,  // a new one
  kPod = 1,        // the pod's: `pid_of`, or left to the shim when that is kNoFd (StartRequest::join_pod_pid)
  kNode = 2,       // the shim's own, which is the host's
  kTarget = 3,     // another container's: as kPod (StartRequest::target_container)
};
struct NamespaceSpec {
  PidMode pid = PidMode::kContainer;
  FdIndex pid_of = kNoFd;  // a pidfd
  bool private_cgroup = true;
  // Made anew, for callers without a pod: gantry-oci and bench/start.
  bool new_net = false, new_ipc = false, new_uts = false;
};

// A pod's user namespace: ids from 0 to `uids` - 1 are, outside, those from `uid` on; groups likewise.
struct UsersSpec {
  FdIndex space = kNoFd;
  std::uint32_t uid = 0, gid = 0;
  std::uint32_t uids = 0, gids = 0;
};

struct ContainerSpec {
  RootPlan root;                           // root.read_only is readOnlyRootFilesystem
  std::vector<std::string> command, args;  // of Kubernetes: command replaces entrypoint (and cmd), args replaces cmd
  std::vector<std::pair<std::string, std::string>> env;
  std::string working_dir;  // empty: the image's, or /
  UserSpec user;
  bool privileged = false;
  CapabilitySpec capabilities;
  SeccompSpec seccomp;
  std::string apparmor_profile;  // one that the kernel has; empty: none
  bool no_new_privileges = false;
  // Not given: the defaults. Given and empty: none. Ignored for a privileged container, which has none.
  std::optional<std::vector<std::string>> masked_paths, read_only_paths;
  // Beside the default ones. For a privileged container the caller lists the host's.
  std::vector<DeviceSpec> devices;
  std::vector<BindMountSpec> binds;
  std::vector<TmpfsMountSpec> tmpfs;
  std::vector<ImageMountSpec> images;
  bool cgroup_writable = false;  // /sys/fs/cgroup of an unprivileged container, in its own cgroup namespace
  // Of a container without a cgroup namespace of its own: a detached clone of the host's hierarchy, for /sys/fs/cgroup.
  // kNoFd: nothing is mounted there.
  FdIndex host_cgroups = kNoFd;
  // A tmpfs of this size on /dev/shm in place of the pod's.
  std::optional<std::uint64_t> private_shm_bytes;
  std::vector<SysctlPlan> sysctls;  // of namespaces that the launcher itself makes
  std::vector<RlimitSpec> rlimits;
  std::optional<std::int64_t> oom_score_adj;
  SchedulePlan schedule;
  bool terminal = false;
  std::uint16_t rows = 0, columns = 0;
  NamespaceSpec namespaces;
  std::optional<UsersSpec> users;  // the user namespace that is joined
  std::string hostname;            // HOSTNAME of the environment; also set, with new_uts
};

// A further process in a running container.
struct ExecSpec {
  std::vector<std::string> args;
  std::vector<std::string> env;  // "NAME=value", over the container's
  std::string working_dir;       // empty: the container's
  bool terminal = false;
  std::uint16_t rows = 0, columns = 0;
  FdIndex join_process = kNoFd;    // a pidfd of a process in the container; needed
  std::optional<UsersSpec> users;  // the container's
};

}  // namespace gantry::runtime
