// SPDX-License-Identifier: Apache-2.0
// Starting a program from gantryd. It has threads (pools), so it only ever posix_spawns (vfork and exec, nothing of
// ours runs in between); clone3 and namespaces are the started program's matter. Any thread may spawn.
//
// The child begins clean: the given environment alone, no signal blocked or ignored, a session of its own (it outlives
// a terminal), descriptors 0 to 2 and those handed over, numbered from 3 in order. Everything else is closed by
// close-on-exec, which all descriptors of ours have from birth, and which main gives to those it was started with.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/exit_status.h"
#include "base/owned_fd.h"
#include "base/result.h"
#include "base/task.h"

namespace gantry {

class Loop;

struct Command {
  // The program: an open file (a sealed memfd; run as /proc/self/fd/N) or, when that is not open, a path.
  FdRef executable;
  std::string path;
  std::vector<std::string> argv;  // argv[0] included
  std::vector<std::string> envp;  // "NAME=value"
  // Where not open: /dev/null.
  FdRef input, output, error;
  // Become 3, 4, 5, ... in the child. At most kMaxHandedFds.
  std::vector<FdRef> fds;
};
inline constexpr std::size_t kMaxHandedFds = 64;

// A child that we started. Move-only. Dropping one that has not been waited for leaves it running, and nobody reaps it
// later but the process's end; that is for programs that outlive us.
class Process {
 public:
  Process() = default;
  Process(Process&&) noexcept = default;
  Process& operator=(Process&&) noexcept = default;
  ~Process();

  // For people and records; a call about the process goes by pidfd().
  pid_t pid() const { return pid_; }
  FdRef pidfd() const { return pidfd_; }

  // Loop thread. Returns when it has ended, and reaps it; once it has, returns the same at once. One waiter at a time;
  // the Process stays where it is meanwhile.
  Task<Result<ExitStatus>> wait(Loop& loop);
  // Sends a signal. One that has ended already is fine.
  Status kill(int signal);

 private:
  friend Result<Process> spawn(const Command& command);
  Process(pid_t pid, PidFd&& pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
  pid_t pid_ = -1;
  PidFd pidfd_;
  std::optional<ExitStatus> end_;
};

// Starts it. A program that is not there or not executable is an error here, not an exit code.
// Needs: SIGCHLD not ignored, and nobody who waits for children that are not his own.
Result<Process> spawn(const Command& command);

}  // namespace gantry
