// SPDX-License-Identifier: Apache-2.0
// What a pidfd gives beside its process's end (process.h).
#pragma once

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::sys {

// pidfd_getfd(2), Linux 5.6: a copy of that process's descriptor `number`, close-on-exec. Takes what ptrace(2) takes:
// of a process of other ids or that is not dumpable, CAP_SYS_PTRACE.
Result<OwnFd> pidfd_getfd(FdRef pidfd, int number);

// PIDFD_GET_PID_NAMESPACE (include/uapi/linux/pidfd.h), Linux 6.11: the PID namespace that the process is in. Takes
// what reading its /proc/PID/ns takes.
Result<OwnFd> pid_namespace_of(FdRef pidfd);

}  // namespace gantry::sys
