// SPDX-License-Identifier: Apache-2.0
// gantry-init, pid 1 of the PID namespace that a pod's containers share: started from its memfd with nothing in its
// hands.
#pragma once

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::shim {

struct Init {
  PidFd pidfd;
  pid_t pid = 0;
  // A procfs of its PID namespace, made while nobody else was in it.
  MountFd processes;
};
// `program`: its sealed memfd; `cgroup`: a leaf of its own in the pod's; `null`: /dev/null. `users`: the pod's user
// namespace, if it has one, whose the PID namespace is then.
Result<Init> launch_init(FdRef program, FdRef cgroup, FdRef null, FdRef users);

}  // namespace gantry::shim
