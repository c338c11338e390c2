// SPDX-License-Identifier: Apache-2.0
// Processes. One that we did not just fork is named by a pidfd; a bare pid is only shown to people or written into a
// record, and then verified. clone3 belongs to the single-threaded programs (shim, oci), never to gantryd.
#pragma once

#include <linux/sched.h>
#include <signal.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "base/exit_status.h"
#include "base/owned_fd.h"
#include "base/result.h"
#include "sys/flags.h"

namespace gantry::sys {

enum class CloneFlag : std::uint64_t {
  kNone = 0,
  kNewMount = CLONE_NEWNS,
  kNewUts = CLONE_NEWUTS,
  kNewIpc = CLONE_NEWIPC,
  kNewUser = CLONE_NEWUSER,
  kNewPid = CLONE_NEWPID,
  kNewNet = CLONE_NEWNET,
  kNewCgroup = CLONE_NEWCGROUP,
  kNewTime = CLONE_NEWTIME,
  kClearSighand = CLONE_CLEAR_SIGHAND,
  kParent = CLONE_PARENT,
};
template <>
struct IsFlagSpace<CloneFlag> : std::true_type {};

// clone3(2), Linux 5.5 (CLONE_CLEAR_SIGHAND, CLONE_INTO_CGROUP 5.7). Always with CLONE_PIDFD; with an open `cgroup`
// straight into it. Returns twice, as fork does: in the child `pid` is 0 and `pidfd` is not open. Single-threaded
// callers only.
struct Cloned {
  pid_t pid;
  PidFd pidfd;
};
Result<Cloned> clone3(CloneFlag flags, FdRef cgroup);

Result<PidFd> pidfd_open(pid_t pid);
Status pidfd_send_signal(FdRef pidfd, int signal);
using gantry::ExitStatus;
// waitid(2) on a child's pidfd without waiting; nothing when it still runs.
Result<std::optional<ExitStatus>> wait_child(FdRef pidfd);
// The same, waiting for the end.
Result<ExitStatus> wait_child_end(FdRef pidfd);

Status setns(FdRef target, CloneFlag kinds);
Status unshare(CloneFlag kinds);
// Default dispositions for all signals, also the two that libc keeps for itself and that posix_spawn leaves ignored:
// what is ignored stays so through execve, and containers would start with it.
void reset_signals();
// Opens /dev/null as each of 0, 1 and 2 that is closed, for a program to call before it opens anything: what it opens
// would get that number, be taken for a stream of its caller's, written to, and handed on to a container.
Status fill_standard_streams();
// close_range(2) from `first` on; with `cloexec` only marks.
Status close_range(unsigned first, bool cloexec);
// PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, PR_SET_NAME.
Status prctl(int option, unsigned long argument);
Status set_name(const char* name);

// Start time of a process in clock ticks since boot (field 22 of /proc/PID/stat), which with its pid names it for this
// boot.
Result<std::uint64_t> start_time_of(FdRef proc, pid_t pid);

}  // namespace gantry::sys
