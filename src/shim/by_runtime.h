// SPDX-License-Identifier: Apache-2.0
// Processes of containers that another OCI runtime of the host makes (crun, runc), as commands: `create` and `start`,
// or `exec --detach`. A process of the shim's executes them, in the host's mount namespace, which the shim itself never
// enters; the shim is a subreaper from then on, so that what a runtime leaves behind becomes its child.
//
// A container's root and mounts are laid out in a copy of the host's mounts, which ends with `create`: PID 1 never sees
// them, and nothing has to be taken away.
#pragma once

#include "base/result.h"
#include "shim/launcher.h"

namespace gantry::shim {

struct RuntimeLaunching {
  Launching launching;  // conclude() makes it the container's process
  OwnFd cgroup;         // of the runtime
};
// As begin_launch(); `fds.plan` is a RuntimeCall, and the first of `fds.others` are those of every call (protocol.h).
Result<RuntimeLaunching> begin_by_runtime(LaunchFds fds, bool terminal);

}  // namespace gantry::shim
