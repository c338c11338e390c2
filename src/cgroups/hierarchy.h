// SPDX-License-Identifier: Apache-2.0
// The machine's cgroup v2 hierarchy: where it is mounted and what it can do. On a pure v2 host it is /sys/fs/cgroup; on
// a hybrid host (v1 and v2 side by side) /sys/fs/cgroup/unified or wherever, without the controllers that v1 holds.
// Gantry serves such a host too: cgroups then track, freeze and kill, and what is not enforced is said (lacking()).
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "cgroups/cgroup.h"

namespace gantry::cgroups {

// What Kubernetes' resources need. `hugetlb` counts only for pods that ask for huge pages.
inline constexpr std::string_view kControllers[] = {"cpu", "cpuset", "memory", "pids", "io", "hugetlb"};

// A cgroup2 mount, as /proc/PID/mountinfo names it.
struct CgroupMount {
  std::string mount_point;
  std::string root;  // the cgroup that is seen as the top: "/" but in a bind mount of a part
  bool read_only = false;
};
// The cgroup2 mounts in a mountinfo text, best first: whole before parts, writable before read-only, /sys/fs/cgroup
// before /sys/fs/cgroup/unified before others, and of several on one place the last, which covers the others.
std::vector<CgroupMount> cgroup_mounts(std::string_view mountinfo);

class Hierarchy {
 public:
  // `mountinfo` is the text of /proc/self/mountinfo. kFailedPrecondition when cgroup v2 is not mounted, with what to
  // do.
  static Result<Hierarchy> find(std::string_view mountinfo);
  // Looks where it mostly is, and else reads /proc/self/mountinfo itself.
  static Result<Hierarchy> find();
  // A hierarchy whose root is `root`: for trees that stand for one, and for a node confined to a part (--cgroup-root).
  static Result<Hierarchy> at(DirFd&& root, std::string mount_point);

  const Cgroup& root() const { return root_; }
  const std::string& mount_point() const { return mount_point_; }
  // All that this hierarchy has, and those of kControllers that it has not.
  const std::vector<std::string>& controllers() const { return controllers_; }
  std::vector<std::string> lacking() const;
  bool has(std::string_view controller) const;
  // For people: "cgroup v2 at /sys/fs/cgroup/unified, without cpu, memory: limits and statistics of these are not
  // enforced".
  std::string describe() const;

  // Opens the cgroup at `path`, absolute in this hierarchy ("/kubepods/pod1") and never outside it: resolved beneath
  // the root, without links, each part a valid name. "/" is the root itself. At most 32 parts.
  Result<Cgroup> open(std::string_view path) const;

 private:
  Hierarchy(Cgroup&& root, std::string mount_point, std::vector<std::string> controllers)
      : root_(std::move(root)), mount_point_(std::move(mount_point)), controllers_(std::move(controllers)) {}
  Cgroup root_;
  std::string mount_point_;
  std::vector<std::string> controllers_;
};

// A mount of the hierarchy that is attached nowhere yet: a clone of one that this mount namespace has; a new one only
// where there is none. To the kernel the options of a mount made in the initial cgroup namespace are the whole
// hierarchy's: a new one without them would take nsdelegate and memory_recursiveprot from the host.
Result<MountFd> detached_hierarchy();

// Where a process is, by its number or "self": the path of cgroup v2 in /proc/PID/cgroup, as this cgroup namespace
// shows it. kFailedPrecondition when there is none.
Result<std::string> cgroup_path_of(const std::string& process);
// The same in the text of such a file.
Result<std::string> cgroup_path_in(std::string_view text);

// The parts of an absolute cgroup path, each checked; "a/b" is taken as "/a/b". Empty for "/".
Result<std::vector<std::string>> split_cgroup_path(std::string_view path);

}  // namespace gantry::cgroups
