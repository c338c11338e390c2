// SPDX-License-Identifier: Apache-2.0
// The cgroupfs driver: cgroups made by mkdir, without asking systemd. Paths are absolute in the hierarchy; their shape
// (kubepods/burstable/podUID/ID) is the caller's. Loop thread or any other, one at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "cgroups/cgroup.h"
#include "cgroups/hierarchy.h"

namespace gantry {
class Loop;
}

namespace gantry::cgroups {

// Who makes the cgroups of pods: we alone, by mkdir, or systemd, which is asked for a scope for each pod (scopes.h) in
// which all is made by us as with the other.
enum class DriverKind : std::uint8_t { kCgroupfs, kSystemd };

class CgroupfsDriver {
 public:
  // `instance` is the mark that a made cgroup bears; empty for none. `given` is the path that was given to this node
  // for its cgroups; empty for none. The hierarchy outlives the driver.
  CgroupfsDriver(const Hierarchy& hierarchy, std::string instance, std::string given = "")
      : hierarchy_(&hierarchy), instance_(std::move(instance)), given_(std::move(given)) {}

  const Hierarchy& hierarchy() const { return *hierarchy_; }

  struct Made {
    Cgroup cgroup;
    bool existed = false;  // it was there already; marked_by() tells whose it is
    // Of kControllers, those that the cgroup does not have, each with the reason from the highest level that lacks it.
    std::vector<NotEnabled> lacking;
  };
  // Makes the cgroup and what is missing above it, switching on kControllers at every level above it, and marks each
  // one that it made. The same call again gives the same cgroup. One that was there without a mark is marked as well
  // when it has neither processes nor children and is the given one or lies in one with our mark: then we were killed
  // between its making and its mark.
  Result<Made> make(std::string_view path) const;
  Result<Cgroup> open(std::string_view path) const { return hierarchy_->open(path); }
  // Kills what is in it and beneath it, waits until it is empty and removes it with its children; what is above stays.
  // One that is not there is fine. "/" is refused.
  Task<Status> remove(Loop& loop, std::string path, std::chrono::nanoseconds limit) const;
  // Removes it if it is empty, now; kFailedPrecondition when it has a process or a child, were that an empty one. For
  // pods' parents, which go with their last child.
  Status remove_empty(std::string_view path) const;

 private:
  const Hierarchy* hierarchy_;
  std::string instance_;
  std::string given_;
};

}  // namespace gantry::cgroups
