// SPDX-License-Identifier: Apache-2.0
// One cgroup (v2), held as its folder's descriptor for as long as the object lives: a folder removed and made again
// under the same name is another cgroup, and calls on this one then fail with is_gone() or is_not_found(). Its path is
// for messages and records only. Moving a process between cgroups is not offered: it is born in its own (sys::clone3).
//
// Calls without a Loop return at once (a few system calls on kernfs) and may be made on any thread and in the static
// programs (library gantry_cgroups_core). Those with a Loop wait on it for the kernel's event and need gantry_cgroups.
// Source: Documentation/admin-guide/cgroup-v2.rst. Linux 5.14 (cgroup.kill).
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "base/task.h"

namespace gantry {
class Loop;
}

namespace gantry::cgroups {

// A controller that could not be switched on for a cgroup's children.
struct NotEnabled {
  std::string controller;
  std::string reason;  // "not in this hierarchy", or what the kernel said
};

// One folder's name: 1 to 255 bytes, no '/', no control bytes, not "." or "..", and not of the form that the kernel
// keeps for its own files ("cgroup.*", "cpu.*" and so on).
Status check_cgroup_name(std::string_view name);

class Cgroup {
 public:
  // `path` is from the hierarchy's root, "/kubepods/pod1".
  Cgroup(DirFd&& dir, std::string path) : dir_(std::move(dir)), path_(std::move(path)) {}

  // What clone3 takes.
  FdRef dir() const { return dir_; }
  const std::string& path() const { return path_; }
  // The kernel's own number for it, never used twice in one boot: the inode of its folder.
  Result<std::uint64_t> id() const;

  // --- Children.
  // kAlreadyExists when there is one.
  Result<Cgroup> make_child(std::string_view name) const;
  Result<Cgroup> open_child(std::string_view name) const;
  Result<std::vector<std::string>> children() const;
  // Removes an empty child with all that is beneath it (deepest first), now. kFailedPrecondition while a process is in
  // any of them; one that is not there is fine.
  Status remove_child(std::string_view name) const;
  // The same, waiting until the child is empty, at most `limit`. It kills nothing: kill() comes first, where that is
  // meant.
  Task<Status> remove_child(Loop& loop, std::string name, std::chrono::nanoseconds limit) const;

  // --- Controllers.
  // Which ones this cgroup has (cgroup.controllers), and which it passes on to its children (cgroup.subtree_control).
  Result<std::vector<std::string>> controllers() const;
  Result<std::vector<std::string>> enabled_for_children() const;
  // Switches on those of `wanted` that are there; returns the others with the reason. The kernel allows none but the
  // threaded ones while processes are in this cgroup itself.
  Result<std::vector<NotEnabled>> enable_for_children(std::span<const std::string_view> wanted) const;

  // --- Processes.
  struct Events {
    bool populated = false;  // a live process is in it or beneath it
    bool frozen = false;     // all of them have stopped
  };
  Result<Events> events() const;
  // Those in this cgroup itself, as this PID namespace numbers them (0: not visible in it). At most 1 MiB of text.
  Result<std::vector<pid_t>> processes() const;
  // SIGKILL to all in it and beneath it, also to those that are forking right now. They are gone when it is empty.
  Status kill() const;
  // Returns when populated is 0 (a cgroup that was removed is empty); kDeadlineExceeded after `limit`.
  Task<Status> wait_empty(Loop& loop, std::chrono::nanoseconds limit) const;
  // Stops or continues all in it and beneath it, and returns when they have stopped or are going on. After
  // kDeadlineExceeded freeze() leaves the order standing: thaw() takes it back. kill() works on a frozen one.
  Task<Status> freeze(Loop& loop, std::chrono::nanoseconds limit) const;
  Task<Status> thaw(Loop& loop, std::chrono::nanoseconds limit) const;
  // The order alone, not waiting. events().frozen tells when it is carried out.
  Status set_frozen(bool frozen) const;

  // --- The mark of the node that made it: the extended attribute trusted.gantry.instance, which needs CAP_SYS_ADMIN in
  // the initial user namespace to read and write, so that no container can forge or see it.
  Status mark(std::string_view instance) const;
  // Nothing when it bears no mark.
  Result<std::optional<std::string>> marked_by() const;
  // Beside the mark: somebody has set limits on it for whatever comes into it, so it stays while it is empty, too. As
  // trusted.gantry.kept.
  Status keep() const;
  Result<bool> is_kept() const;

 private:
  Error named(Error&& error) const;
  DirFd dir_;
  std::string path_;
};

}  // namespace gantry::cgroups
