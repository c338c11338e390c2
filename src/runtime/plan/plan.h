// SPDX-License-Identifier: Apache-2.0
// The plan: all that launching one process takes, decided beforehand. gantryd (or gantry-oci) makes it from spec, image
// config and host facts; the launcher carries it out without deciding, parsing or allocating anything. It is one flat
// block of bytes, versioned, in which every string ends with NUL, so that the launcher points straight into it. Ids are
// numbers, seccomp is compiled, descriptors are indices into the list that comes along with the plan.
//
// Field meanings are those of the OCI runtime spec 1.2 where it has the same name.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gantry::runtime {

inline constexpr std::uint32_t kPlanVersion = 7;
// Over these a plan is refused, by maker and reader alike.
inline constexpr std::size_t kMaxPlanBytes = 8U << 20;
inline constexpr std::size_t kMaxPlanItems = 65536;
// Groups of a process: fewer than the kernel takes, for the launcher has them on its stack.
inline constexpr std::size_t kMaxGroups = 1024;

// An index into the descriptors that come along; kNoFd where there is none.
using FdIndex = std::int32_t;
inline constexpr FdIndex kNoFd = -1;

// A string in a plan: no NUL inside, one behind. data() is what a system call takes.
using PlanString = std::string;

// Makes or joins, for each kind of namespace that the launcher deals with. The shim's own net, ipc and uts are
// inherited.
struct NamespacePlan {
  bool new_pid = false;     // made by the clone
  bool new_cgroup = false;  // unshared by the child, once it is in its cgroup
  bool new_net = false;     // gantry-oci and the benchmark; pods have theirs from the shim
  bool new_ipc = false;
  bool new_uts = false;
  // Made by the clone, and all others in it. The launcher waits for one byte on its report socket, which says that ids
  // are mapped, and from then on acts as the namespace's root.
  bool new_user = false;
  // Made before the launcher is, whose clocks differ from the host's by this: lines as in /proc/PID/timens_offsets.
  bool new_time = false;
  PlanString time_offsets;
  // The launcher is, or comes to be, in a user namespace that is not the host's.
  bool in_user = false;
  // Of a pod's user namespace that is joined, from outside: what its root is there. The process's streams become its.
  std::uint32_t root_uid = 0, root_gid = 0;
  // A process whose namespaces are joined (exec): a pidfd. Its mount, pid, cgroup, net, ipc and uts namespaces, and,
  // if they are others than the launcher's, the user and the time namespace.
  FdIndex join_process = kNoFd;
  bool join_process_user = false, join_process_time = false;
  // A process whose pid namespace alone is joined (a pod that shares one): a pidfd.
  FdIndex join_pid = kNoFd;
  // Namespaces that are joined by their files, for gantry-oci.
  FdIndex join_net = kNoFd, join_ipc = kNoFd, join_uts = kNoFd, join_cgroup = kNoFd, join_user = kNoFd,
          join_time = kNoFd;
  bool raise_loopback = false;  // sets lo of a new network namespace up
};

// Where the root comes from. Exactly one of overlay (store is given) or folder (rootfs is given); neither for an exec.
// In a user namespace that is joined overlays are put together outside: whiteouts and opaque folders are the host's.
struct RootPlan {
  FdIndex store = kNoFd;   // detached mount of the image store; lower, upper and work are names beneath it
  FdIndex upper = kNoFd;   // one of the container's folder in it, where ids are not mapped as the store's are
  PlanString overlay;      // overlay's option string: "lowerdir=l/b:l/a,upperdir=c/x/u,workdir=c/x/w"
  FdIndex rootfs = kNoFd;  // detached mount of a folder that is the root as it is
  bool read_only = false;
  // Of the whole root, as others see it and as mounts of the host come in; none is private.
  std::uint64_t propagation = 0;  // sys::Propagation
};

enum class MountKind : std::uint8_t {
  kFilesystem = 0,  // a new file system of `type` with `options`
  kBind = 1,        // the detached mount `source`, made by the caller
  kPodShm = 2,      // the pod's /dev/shm, from the shim's own namespace
  // As kBind, by a clone of `source` that is made in its turn: mountinfo has mounts in the order in which they were
  // made (Linux 6.8), and callers have sources opened before the first file system is.
  kBindInTurn = 3,
  // A read-only overlay of image layers: options are overlay's option string, with names relative to the root's store,
  // and a path in it that is mounted in its place, or "".
  kImage = 4,
  // As kFilesystem, but made by the caller: `source`.
  kMade = 5,
};

struct MountPlan {
  MountKind kind = MountKind::kFilesystem;
  PlanString target;                // beneath the root; made if absent
  PlanString type;                  // kFilesystem
  std::vector<PlanString> options;  // kFilesystem: "key=value" or "flag", as fsconfig takes them; kImage
  FdIndex source = kNoFd;           // of a bind, and of kMade
  bool target_is_file = false;      // a bind of something that is no folder
  // MOUNT_ATTR_*: of the mount, and, before these, of it and all beneath it.
  std::uint64_t set_attributes = 0, clear_attributes = 0;
  std::uint64_t tree_set_attributes = 0, tree_clear_attributes = 0;
  // sys::Propagation, one after the other: of the mount with all beneath it, and of the mount alone.
  std::uint64_t tree_propagation = 0, propagation = 0;
};

struct DevicePlan {
  PlanString path;         // beneath the root
  std::uint32_t mode = 0;  // with S_IFCHR or S_IFBLK
  std::uint32_t major = 0, minor = 0;
  std::uint32_t uid = 0, gid = 0;
  // A detached mount of the host's node, which is bound where a user namespace makes none; mode and ids are the node's.
  FdIndex source = kNoFd;
};

struct LinkPlan {
  PlanString path;  // beneath the root
  PlanString target;
};

struct SysctlPlan {
  PlanString path;  // beneath /proc/sys, slashes: "net/ipv4/ip_forward"
  PlanString value;
};

struct RlimitPlan {
  std::int32_t resource = 0;
  std::uint64_t soft = 0, hard = 0;
};

struct CapabilityPlan {
  std::uint64_t bounding = 0, effective = 0, permitted = 0, inheritable = 0, ambient = 0;
};

// How the kernel schedules the process: sched_setattr(2), ioprio_set(2), sched_setaffinity(2).
struct SchedulePlan {
  bool set_policy = false;
  std::uint32_t policy = 0;  // SCHED_*
  std::uint64_t flags = 0;   // SCHED_FLAG_*
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime = 0, deadline = 0, period = 0;  // nanoseconds
  bool set_io_priority = false;
  std::uint32_t io_priority = 0;  // IOPRIO_PRIO_VALUE
  std::string cpus;               // a mask as sched_setaffinity takes it; empty: as the launcher's
};

// Who answers for the calls that a filter leaves to somebody else; linux.seccomp's listenerPath and listenerMetadata.
struct SeccompAgent {
  std::string path, metadata;
};

struct SeccompPlan {
  std::string program;      // an array of struct sock_filter; empty: no filter
  std::uint32_t flags = 0;  // SECCOMP_FILTER_FLAG_*; with _NEW_LISTENER the parent is given that (launch.h)
  SeccompAgent agent;       // whom the parent hands the listener to; not in the flat form
};

struct ProcessPlan {
  // args[0] is searched in PATH of `env` when it has no slash. None: behind its gate (`start`) there is nothing.
  std::vector<PlanString> args;
  std::vector<PlanString> env;
  PlanString cwd = "/";
  bool make_cwd = false;  // create it when the image lacks it, as image configs expect
  std::uint32_t uid = 0, gid = 0;
  std::vector<std::uint32_t> groups;
  std::uint32_t umask = 022;
  CapabilityPlan capabilities;
  bool no_new_privileges = false;
  bool terminal = false;
  std::uint16_t rows = 0, columns = 0;
  std::int32_t oom_score_adj = 0;
  bool set_oom_score_adj = false;
  std::vector<RlimitPlan> rlimits;
  SeccompPlan seccomp;
  // Taken on with execve; empty: as the launcher is, or as a policy has it.
  PlanString apparmor_profile, selinux_label;
  std::uint32_t personality = 0;  // personality(2), when set_personality
  bool set_personality = false;
  SchedulePlan schedule;
  // Descriptors from 3 on that stay open; they are the launching process's own, under these numbers.
  std::uint32_t preserved_fds = 0;
  bool keep_keyring = false;  // the launching process's session keyring, in place of a new one
  // A gate right before the filter and execve, of gantry-oci's create: what one byte is read from, and what a failure
  // of the rest is written to (launch.h's Report), whose end says that the program began. Without `start_report` the
  // maker stays, and is told of that as of all before.
  FdIndex start = kNoFd, start_report = kNoFd;
};

struct Plan {
  NamespacePlan namespaces;
  RootPlan root;
  std::vector<MountPlan> mounts;
  std::vector<DevicePlan> devices;
  std::vector<LinkPlan> links;
  std::vector<SysctlPlan> sysctls;
  std::vector<PlanString> masked_paths;
  std::vector<PlanString> read_only_paths;
  PlanString hostname, domainname;  // of a UTS namespace that is new or joined by its file
  FdIndex hold = kNoFd;             // one byte is read from it when mounts and devices are made
  ProcessPlan process;
};

// The flat form. Refuses strings with NUL inside, a root that is both or none of overlay and folder (unless it joins a
// process), descriptor indices of `fd_count` or more, and what is over the limits above; the error names the field.
Result<std::string> encode_plan(const Plan& plan, std::size_t fd_count);

}  // namespace gantry::runtime
