// SPDX-License-Identifier: Apache-2.0
// What a parent of processes in other user namespaces asks of the kernel.
#pragma once

#include "sys/process.h"

namespace gantry::sys {

// As clone3(). The kernel writes the child's pid to `told` before it runs, whatever becomes of the caller
// (CLONE_PARENT_SETTID).
Result<Cloned> clone3_told(CloneFlag flags, FdRef cgroup, volatile pid_t* told);
// The user namespace that a namespace belongs to (ioctl_ns(2), NS_GET_USERNS).
Result<OwnFd> owner_of_namespace(FdRef space);

}  // namespace gantry::sys
