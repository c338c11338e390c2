// SPDX-License-Identifier: Apache-2.0
// Making one process out of a plan, for a container or an exec: clone, the child's launch, and what it reports. The
// parent never waits: it reads the report socket when that is ready.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "runtime/launch/launch.h"
#include "sys/process.h"

namespace gantry::shim {

struct LaunchFds {
  OwnFd plan;    // memfd
  OwnFd cgroup;  // where the clone goes; not open: it stays in the parent's
  OwnFd in, out, err;
  std::vector<OwnFd> others;  // what the plan's indices name
};

// The page that a launch shares with its parent.
class Notes {
 public:
  Notes() = default;
  static Result<Notes> make();
  Notes(Notes&& other) noexcept : at_(std::exchange(other.at_, nullptr)) {}
  Notes& operator=(Notes other) noexcept {
    std::swap(at_, other.at_);
    return *this;
  }
  ~Notes();
  runtime::LaunchNotes* get() const { return at_; }

 private:
  explicit Notes(runtime::LaunchNotes* at) : at_(at) {}
  runtime::LaunchNotes* at_ = nullptr;
};

// A process between clone and exec.
struct Launching {
  pid_t pid = 0;
  PidFd pidfd;
  OwnFd report;
  Notes notes;
  // It is another process that makes the plan's (launch.h's midwife), until deliver() or conclude().
  bool is_midwife = false;
};

// The PID namespace that a container goes into, beside what the plan says.
struct PidJoin {
  FdRef process;  // one that is in it, a pidfd; not open: none
  bool is_pods = false;
};
// `hooks` outlives the call.
Result<Launching> begin_launch(LaunchFds fds, PidJoin join, const runtime::LaunchHooks* hooks = nullptr);

// Waits until a midwife has made the plan's process, which `launching` then is; her error. At once without one.
Status deliver(Launching& launching);

// What the report socket says now. Nothing: not ready yet. Whoever is in the container and may trace can have got hold
// of its other end, and tell anything, as often as he likes; but a terminal is a pty master.
struct LaunchProgress {
  bool executed = false;  // the program runs
  bool held = false;      // it waits at its hold
  OwnFd terminal;         // a pty master came
  // It waits until its parent has this one of its descriptors (take_listener()). A pod's never does.
  std::optional<int> listener;
  std::optional<Error> failed;
};
Result<std::optional<LaunchProgress>> read_progress(FdRef report);

// After the launch was executed or failed: `launching` is from here on the process that goes on, which of an exec and
// in a joined PID namespace is the second (runtime/launch/launch.h); the first is reaped.
Status conclude(Launching& launching);

// A copy of the listener that a launch reported, and the process that has it. The launch goes on after let_go_on().
struct Listener {
  pid_t pid = 0;
  OwnFd fd;
};
Result<Listener> take_listener(const Launching& launching, int number);
Status let_go_on(const Launching& launching);

// Ends and reaps a launch that was not concluded.
void abandon(Launching& launching);

}  // namespace gantry::shim
