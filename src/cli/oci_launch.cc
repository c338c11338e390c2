// SPDX-License-Identifier: Apache-2.0
// From a plan to a process, for a program that is no shim.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <utility>

#include "base/text.h"
#include "cli/oci_agent.h"
#include "cli/oci_create.h"
#include "cli/oci_host_view.h"
#include "cli/oci_rootless.h"
#include "cli/oci_user.h"
#include "runtime/oci/id_namespace.h"
#include "runtime/plan/text.h"
#include "shim/world.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/poll.h"
#include "sys/process.h"
#include "sys/seccomp.h"
#include "sys/socket.h"

namespace gantry::cli {

namespace oci = runtime::oci;

namespace {

Result<OwnFd> plan_memfd(const runtime::Plan& plan, std::size_t fd_count) {
  auto bytes = runtime::encode_plan(plan, fd_count);
  if (!bytes) return std::unexpected(std::move(bytes.error()));
  return sys::memfd_of("plan", *bytes);
}

Result<shim::Launching> begin(Launch& launch) {
  shim::LaunchFds fds;
  Inherited inherited;
  if (launch.plan.namespaces.in_user) {
    if (auto s = inherited.set(launch.plan.process); !s) return std::unexpected(std::move(s.error()));
  }
  auto plan = plan_memfd(launch.plan, launch.fds.size());
  if (!plan) return std::unexpected(std::move(plan.error()));
  fds.plan = std::move(*plan);
  fds.cgroup = std::move(launch.cgroup);
  fds.others = std::move(launch.fds);
  for (auto [number, fd] : {std::pair(0, &fds.in), std::pair(1, &fds.out), std::pair(2, &fds.err)}) {
    auto stream = duplicate(FdRef(number));
    if (!stream) return std::unexpected(std::move(stream.error()));
    *fd = std::move(*stream);
  }
  bool in_user = launch.plan.namespaces.in_user;
  if (launch.in_empty_world && !in_user)
    launch.hooks.enter_world = [&launch] { return shim::empty_world(false, launch.mount_label.c_str()); };
  if (!launch.in_empty_world || !in_user) return shim::begin_launch(std::move(fds), {}, &launch.hooks);
  // Who is in a user namespace could not take away what it is born to see of the host's.
  auto host = HostView::take();
  if (!host) return std::unexpected(std::move(host.error()));
  auto launching = [&]() -> Result<shim::Launching> {
    if (auto s = shim::enter_empty_world(true, launch.mount_label.c_str()); !s)
      return std::unexpected(std::move(s.error()));
    return shim::begin_launch(std::move(fds), {}, &launch.hooks);
  }();
  if (auto back = host->restore(); !back) {
    if (launching) shim::abandon(*launching);
    return fail_with(std::move(back.error()), "return from the container's world");
  }
  return launching;
}

// What the process waits for before anything else.
Status map_ids(const shim::Launching& launching, const oci::IdMappings& ids) {
  if (ids.is_empty()) return {};
  if (auto s = oci::write_id_maps(launching.pid, ids); !s) return fail_with(std::move(s.error()), "linux");
  return sys::write_all(launching.report, "+");
}

// Of an exec, and in a PID namespace that others are in, a second process goes on; that one is the agent's. What the
// first calls until it is born is nobody's business.
Status wait_for_birth(const shim::Launching& launching, FdRef listener, const std::string& agent) {
  auto born = [&launching] { return launching.notes.get()->pid != 0; };
  auto deadline = std::chrono::steady_clock::now() + kAgentLimit;
  const FdRef fds[] = {launching.report, launching.pidfd, listener};
  while (!born()) {
    auto ready = sys::wait_any_readable(fds, deadline);
    if (!ready) return fail_with(std::move(ready.error()), agent);
    if (*ready != 2) return {};  // it has ended, or failed and says why
    // The number is there before the second one runs: this call is still the first one's.
    if (born()) return {};
    if (auto s = sys::let_call_go_on(listener); !s && !s.error().is_not_found()) return s;
  }
  return {};
}

Status hand_listener(const shim::Launching& launching, int number, const Launch& launch) {
  const auto& agent = launch.plan.process.seccomp.agent;
  auto listener = shim::take_listener(launching, number);
  if (!listener) return fail_with(std::move(listener.error()), "take the seccomp filter's listener");
  // A tracer in the container may have told another number.
  if (!sys::is_seccomp_listener(listener->fd))
    return fail(Code::kAborted, "the launch told of a descriptor that is no seccomp filter's listener");
  const auto& spaces = launch.plan.namespaces;
  pid_t second = launching.notes.get()->pid;
  bool waits = second == 0 && (spaces.join_process != runtime::kNoFd || spaces.join_pid != runtime::kNoFd);
  if (!waits) {
    auto told = tell_agent(agent, listener->pid, launch.state(listener->pid), listener->fd);
    return told ? shim::let_go_on(launching) : told;
  }
  if (auto s = shim::let_go_on(launching); !s) return s;
  if (auto s = wait_for_birth(launching, listener->fd, agent.path); !s) return s;
  second = launching.notes.get()->pid;
  return second == 0 ? Status() : tell_agent(agent, second, launch.state(second), listener->fd);
}

// Until the process is at its gate, or executing, or has failed.
Result<OwnFd> follow(const shim::Launching& launching, const Launch& launch, const Hold& hold,
                     const std::string& console_socket) {
  OwnFd terminal;
  // A tracer in the container may tell these, too: once each, and what was asked for.
  bool may_hold = hold.run != nullptr, may_have_terminal = launch.plan.process.terminal;
  bool may_listen = !launch.plan.process.seccomp.agent.path.empty();
  int patience = -1;  // milliseconds
  for (;;) {
    pollfd entry{launching.report.get(), POLLIN, 0};
    if (::poll(&entry, 1, patience) == 0) {
      return fail(Code::kDeadlineExceeded,
                  cat("linux.seccomp.listenerPath ", launch.plan.process.seccomp.agent.path,
                      ": the agent has not answered what the launch itself calls in ", kAgentLimit.count(), " s"));
    }
    auto progress = shim::read_progress(launching.report);
    if (!progress) return std::unexpected(std::move(progress.error()));
    if (!*progress) continue;
    if ((*progress)->failed) return std::unexpected(std::move(*(*progress)->failed));
    if ((*progress)->executed) return terminal;
    bool& is_due = (*progress)->listener ? may_listen : (*progress)->held ? may_hold : may_have_terminal;
    if (!std::exchange(is_due, false)) return fail(Code::kAborted, "the launch told of what it was not to do");
    if ((*progress)->listener) {
      if (auto s = hand_listener(launching, *(*progress)->listener, launch); !s)
        return std::unexpected(std::move(s.error()));
      patience = static_cast<int>(std::chrono::milliseconds(kAgentLimit).count());
      continue;
    }
    if ((*progress)->held) {
      auto s = hold.run(launching.pid);
      if (s) s = sys::write_all(hold.release, "+");
      if (!s) return std::unexpected(std::move(s.error()));
      continue;
    }
    terminal = std::move((*progress)->terminal);
    if (console_socket.empty()) continue;
    if (auto s = send_terminal(console_socket, terminal); !s)
      return fail_with(std::move(s.error()), cat("--console-socket ", console_socket));
    terminal.close();
  }
}

std::string why_ended(const ExitStatus& status) {
  if (status.signal == 0) return "the launch was ended";
  return cat("the launch was ended by signal ", status.signal,
             status.signal == SIGKILL  ? ", as it is when the memory limit is too low"
             : status.signal == SIGSYS ? ", which the seccomp profile sends"
                                       : "");
}

}  // namespace

Result<LaunchedProcess> carry_out(Launch launch, Hold hold, const std::string& console_socket) {
  launch.hooks.shows_listener = !launch.plan.process.seccomp.agent.path.empty() && is_rootless();
  auto launching = begin(launch);
  if (!launching) return std::unexpected(std::move(launching.error()));
  auto prepared = shim::deliver(*launching);
  if (!prepared) return std::unexpected(std::move(prepared.error()));
  prepared = map_ids(*launching, launch.ids);
  if (prepared && launch.meanwhile) prepared = launch.meanwhile(*launching);
  if (!prepared) {
    shim::abandon(*launching);
    return std::unexpected(std::move(prepared.error()));
  }
  // Without privileges on the host this process is in the user namespace that the container is in: who is in there, may
  // trace and sees it, would come to the host by it.
  (void)sys::prctl(PR_SET_DUMPABLE, 0);
  if (launch.gate.is_open()) {
    // The second byte stays until the process has closed its end: until then it can be seen that the gate is open.
    prepared = sys::write_all(launch.gate, "++");
    launch.gate.close();
    if (!prepared) {
      shim::abandon(*launching);
      return std::unexpected(std::move(prepared.error()));
    }
  }
  auto terminal = follow(*launching, launch, hold, console_socket);
  if (!terminal) {
    shim::abandon(*launching);
    return std::unexpected(std::move(terminal.error()));
  }
  bool is_ready = launching->notes.get()->ready != 0;
  auto concluded = shim::conclude(*launching);
  if (!concluded) return std::unexpected(std::move(concluded.error()));
  if (!is_ready) {
    (void)sys::pidfd_send_signal(launching->pidfd, SIGKILL);
    auto status = sys::wait_child_end(launching->pidfd);
    return fail(Code::kAborted, why_ended(status.value_or(ExitStatus{})));
  }
  return LaunchedProcess{launching->pid, std::move(launching->pidfd), std::move(*terminal),
                         std::move(launching->notes)};
}

// The descriptor goes with a word, as receivers expect one.
Status send_terminal(const std::string& console_socket, FdRef master) {
  auto place = open_place(console_socket);
  if (!place) return std::unexpected(std::move(place.error()));
  auto socket = sys::connect_unix(place->folder, place->name.c_str(), SOCK_STREAM);
  if (!socket) return std::unexpected(std::move(socket.error()));
  FdRef fds[] = {master};
  return sys::send_packet(*socket, "/dev/ptmx", fds);
}

Status add_gate(FdRef folder, bool goes_on, Launch& launch) {
  auto add = [&](const char* name, runtime::FdIndex& index) -> Status {
    // For both ends: to open one alone would wait for the other.
    auto fifo = sys::openat(folder, name, O_RDWR | O_NOFOLLOW);
    if (!fifo) return std::unexpected(std::move(fifo.error()));
    launch.fds.push_back(std::move(*fifo));
    index = static_cast<runtime::FdIndex>(launch.fds.size() - 1);
    return {};
  };
  runtime::ProcessPlan& process = launch.plan.process;
  if (auto s = add(kStartFifo, process.start); !s) return s;
  if (!goes_on) return add(kReportFifo, process.start_report);
  auto gate = duplicate(launch.fds.back());
  if (!gate) return std::unexpected(std::move(gate.error()));
  launch.gate = std::move(*gate);
  return {};
}

std::uint32_t activated_fds() {
  const char *count = ::getenv("LISTEN_FDS"), *pid = ::getenv("LISTEN_PID");
  // Somebody else's, whose variables our caller has left to us.
  if (pid != nullptr && runtime::parse_number<pid_t>(std::string_view(pid)) != ::getpid()) return 0;
  return count == nullptr ? 0 : runtime::parse_number<std::uint32_t>(std::string_view(count)).value_or(0);
}

Status check_preserved_fds(std::uint32_t count) {
  constexpr std::uint32_t kMost = 1024;
  if (count > kMost) return invalid_argument(cat("--preserve-fds ", count, ": at most ", kMost, " are taken"));
  for (std::uint32_t i = 0; i < count; ++i) {
    int number = static_cast<int>(3 + i);
    // It may have been handed over with close-on-exec set, by a caller that forked.
    if (::fcntl(number, F_SETFD, 0) < 0)
      return invalid_argument(cat("--preserve-fds ", count, ": descriptor ", number, " is not open"));
  }
  return {};
}

Status check_console(bool terminal, bool stays, const std::string& console_socket) {
  if (terminal && !stays && console_socket.empty())
    return invalid_argument("process.terminal: without --console-socket nobody would have the terminal");
  if (!console_socket.empty() && !terminal)
    return invalid_argument("--console-socket: there is no terminal without process.terminal");
  if (!console_socket.empty() && stays) return invalid_argument("--console-socket: goes with --detach");
  return {};
}

}  // namespace gantry::cli
