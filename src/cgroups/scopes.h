// SPDX-License-Identifier: Apache-2.0
// Places in the hierarchy that systemd grants to us: delegated scopes, which outlive the service that asked for them,
// so that stopping, limiting or restarting that service never touches what runs in them. One lives as long as a process
// is in it or beneath it; so that it does not go with whatever happens to end, a process of ours does nothing but keep
// it:
//
//   SCOPE/keeper/   that process
//   SCOPE/...       all else
//
// Needs: root, systemd on the system bus (systemd_units.h).
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/loop.h"
#include "base/owned_fd.h"
#include "base/result.h"
#include "base/task.h"
#include "cgroups/hierarchy.h"

namespace gantry::cgroups {

// Makes the scope `name` ("gantry-pods.scope") in the root slice, or finds it, and makes `keeper` its keeper. Returns
// the scope's path in the hierarchy. Blocks; before the loop runs.
Result<std::string> enter_systemd_scope(const Hierarchy& hierarchy, const std::string& name, pid_t keeper);

struct PodScope {
  std::string path;  // "/kubepods.slice/kubepods-podUID.slice/gantry-ID.scope": slices as slice_path() has them
  std::string description;
  // Of the slice that it is in, if that is ours: what is beneath the scope has no say against other pods.
  std::optional<std::uint64_t> cpu_weight;
};

// The scopes of pods with the systemd driver, and the slices that they are in. What is made bears the mark of
// `instance`; a slice that was there is somebody else's and left as it is, one of ours goes with the last scope in it.
// Loop thread.
class PodScopes {
 public:
  // `keeper` is the sealed memfd of gantry-init. All three outlive it.
  PodScopes(Loop& loop, const Hierarchy& hierarchy, std::string instance, FdRef keeper)
      : loop_(loop), hierarchy_(hierarchy), instance_(std::move(instance)), keeper_program_(keeper) {}

  // Makes it, or what is missing of it: its keeper, should somebody have killed that, and the scope, should it have
  // gone with the keeper. When all is there no one else is asked. A gantryd that is killed meanwhile leaves nothing.
  Task<Status> make(PodScope scope);
  // Kills all that is in it. systemd, which sees that it is empty, takes it away, and slices of ours with it.
  Task<Status> end(std::string path, std::chrono::nanoseconds limit) const;

 private:
  Loop& loop_;
  const Hierarchy& hierarchy_;
  std::string instance_;
  FdRef keeper_program_;
  std::optional<Pool> bus_thread_;  // from the first scope on
};

}  // namespace gantry::cgroups
