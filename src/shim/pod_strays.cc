// SPDX-License-Identifier: Apache-2.0
// Children that the shim did not make: what an OCI runtime, or a container in the host's PID namespace, left behind.
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>

#include "shim/by_runtime.h"
#include "shim/pod.h"
#include "sys/file.h"

namespace gantry::shim {

class Pod::Strays final : public Source {
 public:
  static Result<std::unique_ptr<Strays>> make(Pod& pod) {
    // Blocked since the template began.
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    OwnFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd.is_open()) return std::unexpected(Error::from_errno(errno, "signalfd"));
    return std::unique_ptr<Strays>(new Strays(pod, std::move(fd)));
  }
  void on_ready(std::uint32_t) override {
    signalfd_siginfo info;
    while (sys::read(fd_, &info, sizeof(info))) pod_.may_have_strays_ = true;
  }
  FdRef fd() const { return fd_; }

 private:
  Strays(Pod& pod, OwnFd fd) : pod_(pod), fd_(std::move(fd)) {}
  Pod& pod_;
  OwnFd fd_;
};

Result<Launching> Pod::begin_by_runtime(LaunchFds fds, bool terminal, OwnFd& runtime_cgroup) {
  if (!strays_) {
    auto strays = Strays::make(*this);
    if (!strays) return std::unexpected(std::move(strays.error()));
    if (auto s = poller_.add((*strays)->fd(), EPOLLIN, **strays); !s) return std::unexpected(std::move(s.error()));
    strays_ = std::move(*strays);
  }
  // A runtime may give its own streams to the container's root: these can't be given, and the host's null device must
  // not be. What it says on standard error is the error's.
  for (OwnFd* stream : {&fds.in, &fds.out}) {
    if (!terminal) break;
    auto null = duplicate(fds_.null);
    if (!null) return std::unexpected(std::move(null.error()));
    *stream = std::move(*null);
  }
  auto begun = shim::begin_by_runtime(std::move(fds), terminal);
  if (!begun) return std::unexpected(std::move(begun.error()));
  runtime_cgroup = std::move(begun->cgroup);
  return std::move(begun->launching);
}

// One that a launch under way is about to name is no stray: it is waited for when that is over.
void Pod::reap_strays() {
  auto is_launching = [](const auto& process) { return process->state == Process::State::kLaunching; };
  if (std::ranges::any_of(processes_, is_launching)) return;
  for (;;) {
    siginfo_t info{};
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0) {
      may_have_strays_ = false;
      return;
    }
    auto is_it = [&](const auto& process) {
      return process->launching.pidfd.is_open() && process->launching.pid == info.si_pid;
    };
    // The next that is ready; what is behind it comes after that.
    if (std::ranges::any_of(processes_, is_it)) return;
    (void)::waitid(P_PID, static_cast<id_t>(info.si_pid), &info, WEXITED | WNOHANG);
  }
}

}  // namespace gantry::shim
