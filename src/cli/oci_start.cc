// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_start.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>

#include <chrono>

#include "base/text.h"
#include "cli/oci_cgroup.h"
#include "cli/oci_create.h"
#include "cli/oci_notify.h"
#include "cli/oci_scope.h"
#include "runtime/launch/launch.h"
#include "sys/file.h"
#include "sys/pipe.h"
#include "sys/process.h"

namespace gantry::cli {
namespace {

// Opens the gate and reads how it went on.
Status pass_gate(FdRef folder, FdRef pidfd) {
  auto report = sys::openat(folder, kReportFifo, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  if (!report) return std::unexpected(std::move(report.error()));
  auto start = sys::openat(folder, kStartFifo, O_WRONLY | O_NONBLOCK | O_NOFOLLOW);
  if (!start) return fail(Code::kFailedPrecondition, "the container's process has ended");
  if (auto s = sys::write_all(*start, "+"); !s) return s;
  start->close();
  for (;;) {
    pollfd entries[] = {{report->get(), POLLIN, 0}, {pidfd.get(), POLLIN, 0}};
    (void)::poll(entries, 2, -1);
    char packet[runtime::kMaxReport];
    auto size = sys::read(*report, packet, sizeof(packet));
    if (!size && size.error().is_would_block()) {
      if (entries[1].revents == 0) continue;
      return {};  // it has ended, as its program perhaps; somebody it has left behind has the other end
    }
    if (!size) return std::unexpected(std::move(size.error()));
    if (*size == 0) return {};
    auto decoded = runtime::decode_report(std::string_view(packet, *size));
    if (!decoded) return std::unexpected(std::move(decoded.error()));
    return std::unexpected(Error(static_cast<Code>(decoded->code), std::move(decoded->message)));
  }
}

}  // namespace

Status start_locked(ContainerFolder& folder, const LiveContainer& live, bool has_process, const HookRunner& run_hooks,
                    Times& times, Log& log) {
  if (!has_process) {
    // The specification wants an error, and leaves open how it is told: others say it and end the container, and the
    // validation program for it takes no other answer.
    log.error(cat("container ", live.record.id, " has no program to run: config.json has no process"));
    return sys::pidfd_send_signal(live.pidfd, SIGKILL);
  }
  if (auto s = pass_gate(folder.dir(), live.pidfd); !s) return s;
  times.lap("exec");
  auto s = run_hooks(HookKind::kPoststart, state_json(live.record, ContainerState::kRunning, false));
  // As the specification has it since 1.2.
  if (!s) (void)sys::pidfd_send_signal(live.pidfd, SIGKILL);
  return s;
}

Status start_container(const std::string& root, const std::string& id, Log& log) {
  Times times;
  auto folder = ContainerFolder::open(root, id);
  if (!folder) return std::unexpected(std::move(folder.error()));
  if (auto s = folder->lock(); !s) return s;
  auto live = look_at(*folder, true);
  if (!live) return std::unexpected(std::move(live.error()));
  // Before its socket is made anew: somebody may wait at the one that it has.
  if (live->state != ContainerState::kCreated) {
    return fail(Code::kFailedPrecondition, cat("container ", id, " can't be started: it is ", to_string(live->state)));
  }
  Result<runtime::oci::Config> config;
  if (!live->record.is_plain) config = folder->read_config();
  if (!config) return std::unexpected(std::move(config.error()));
  bool has_process = live->record.is_plain || config->process;
  times.lap("state");
  auto notify = NotifyProxy::open(folder->dir());
  if (!notify) return std::unexpected(std::move(notify.error()));
  auto started = start_locked(*folder, *live, has_process, hook_runner(config->hooks, log), times, log);
  log.debug(cat("start took ", times.text()));
  if (!started || !*notify) return started;
  // Others may end it meanwhile.
  if (auto s = folder->unlock(); !s) return s;
  return (*notify)->wait(live->pidfd, live->record.pid);
}

Status forget_container(ContainerFolder& folder, const LiveContainer& live, Log& log, HookRunner run_hooks) {
  if (!live.record.cgroup.empty()) {
    if (auto s = end_cgroup(live.record.cgroup, live.record.made_cgroup, live.record.claim); !s) return s;
  } else if (live.pidfd.is_open()) {
    // It has been killed; with it all that is in its PID namespace.
    constexpr std::chrono::seconds kPatience{30};
    if (auto s = sys::wait_readable(live.pidfd, std::chrono::steady_clock::now() + kPatience); !s) return s;
  }
  if (live.record.in_scope) {
    if (auto s = wait_for_scope_end(live.record.cgroup); !s) log.warning(s.error().message());
  }
  Result<runtime::oci::Config> config;
  if (!run_hooks && !live.record.is_plain) {
    config = folder.read_config();
    if (config) run_hooks = hook_runner(config->hooks, log);
  }
  if (auto s = folder.remove(); !s || !run_hooks) return s;
  auto s = run_hooks(HookKind::kPoststop, state_json(live.record, ContainerState::kStopped, false));
  if (!s) log.warning(s.error().message());
  return {};
}

}  // namespace gantry::cli
