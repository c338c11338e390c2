// SPDX-License-Identifier: Apache-2.0
// The end of containers: asked for, by themselves, or with their shim.
#include <algorithm>
#include <chrono>
#include <csignal>

#include "base/log.h"
#include "cgroups/hierarchy.h"
#include "cgroups/stats.h"
#include "cri/make_spec.h"
#include "cri/pod_cgroups.h"
#include "cri/runtime_impl.h"
#include "cri/text.h"
#include "runtime/plan/signals.h"
#include "sys/process.h"

namespace gantry::cri {
namespace {

// After SIGKILL a process is gone as soon as it runs again; what takes longer hangs in the kernel.
constexpr std::chrono::seconds kKillLimit{10};
// A shim that does not take the stop signal within this is gone around.
constexpr std::chrono::seconds kSignalLimit{5};
constexpr std::int64_t kLongestGrace = std::int64_t{10} * 365 * 24 * 3600;

constexpr std::int32_t kUnknownCode = 255;
constexpr std::string_view kUnknown = "Unknown";

// To its first process, past a shim that can't be told. The number may be another's by now; what it is in may not, and
// is looked at when the process is held.
Status send_signal(const Container& container, int signal) {
  auto process = sys::pidfd_open(container.pid);
  if (!process) return std::unexpected(std::move(process.error()));
  auto place = cgroups::cgroup_path_of(std::to_string(container.pid));
  if (!place || !cat(*place, "/").starts_with(cat(container.cgroup, "/"))) return not_found("its process has ended");
  return sys::pidfd_send_signal(*process, signal);
}

}  // namespace

Task<Result<v1::StopContainerResponse>> Runtime::stop_container(v1::StopContainerRequest request) {
  if (auto own = need_own_store(); !own) co_return std::unexpected(std::move(own.error()));
  if (request.timeout() < 0) {
    co_return invalid_argument(cat("timeout ", request.timeout(), ": give 0 (kill at once) or more seconds"));
  }
  auto container = find_container(request.container_id());
  if (!container) co_return std::unexpected(std::move(container.error()));
  if (!*container) co_return v1::StopContainerResponse();
  // Not one flight: a second call with a shorter grace must be able to shorten the first one's.
  auto stopped = co_await stop(*container, std::chrono::seconds(std::min(request.timeout(), kLongestGrace)));
  if (!stopped) co_return fail_within(stopped, cat("stop container ", (*container)->id()));
  co_return v1::StopContainerResponse();
}

// Returns when it has ended and that is recorded. One that does not run is left as it is.
Task<Status> Runtime::stop(ContainerPtr container, Duration grace) {
  {
    // One that is being started is waited for, and what may hold it up ended when there is no grace.
    if (container->state == ContainerState::kStarting && grace == Duration::zero()) co_await end_launch(container);
    auto turn = co_await container->turn.acquire();
    if (container->state == ContainerState::kExited) co_return Status();
    if (auto reachable = need_reachable(*container); !reachable) co_return reachable;
    if (!container->is_live()) co_return Status();
  }
  auto found = sandboxes_.find(container->sandbox_id);
  SandboxPtr sandbox = found == sandboxes_.end() ? nullptr : found->second;
  const bool has_shim = sandbox && sandbox->shim && sandbox->shim->is_alive();
  if (grace > Duration::zero() && has_shim) {
    const auto begun = std::chrono::steady_clock::now();
    auto parsed = runtime::parse_signal(signal_text(container->status.stop_signal()));
    const int signal = parsed ? *parsed : SIGTERM;
    auto sent = co_await sandbox->shim->signal(container->id(), signal, std::min<Duration>(grace / 2, kSignalLimit));
    // The connection to it ended, or it hangs: that is no reason to take away all of the container's time. It may get
    // the signal twice.
    if (!sent && (sent.error().code() == Code::kUnavailable || sent.error().is_deadline()) &&
        container->state == ContainerState::kRunning) {
      sent = send_signal(*container, signal);
    }
    const Duration left = grace - (std::chrono::steady_clock::now() - begun);
    if (!sent && !container->exited.is_set()) {
      log::warning("sending the stop signal, killing instead",
                   {{"container", container->id()}, {"error", sent.error()}});
    } else if (co_await container->exited.wait_for(std::max(left, Duration::zero()))) {
      co_return Status();
    }
  }
  if (auto killed = kill_cgroup(node_.cgroups, container->cgroup); !killed) co_return killed;
  if (co_await container->exited.wait_for(kKillLimit)) co_return Status();
  if (has_processes(*container) || !has_shim) {
    co_return fail(Code::kDeadlineExceeded,
                   cat("it has not ended ", kKillLimit.count(), " s after SIGKILL; a process of it (pid ",
                       container->pid, ") probably waits in the kernel for a device or a network file system"));
  }
  co_return fail(Code::kDeadlineExceeded,
                 cat("its processes have ended, but ", kKillLimit.count(), " s after SIGKILL its pod's shim (pid ",
                     sandbox->shim->pid(), ") does not say so: that hangs, or the disk that the log is on does"));
}

// Of one whose cgroup can't be looked at, too, as far as is known.
bool Runtime::has_processes(const Container& container) const {
  auto cgroup = node_.cgroups.open(container.cgroup);
  if (!cgroup) return !cgroup.error().is_not_found();
  auto events = cgroup->events();
  return events ? events->populated : !events.error().is_gone();
}

// Of a start that has not come to the shim yet, too; one that the shim was asked for ends as a launch that is late
// does.
Task<> Runtime::end_launch(ContainerPtr container) {
  container->unwanted = true;
  if (container->opening) container->opening->set();
  auto sandbox = sandboxes_.find(container->sandbox_id);
  if (sandbox == sandboxes_.end() || !sandbox->second->shim) co_return;
  // A shim that does not know it yet says so.
  (void)co_await sandbox->second->shim->kill(container->id());
}

Task<Status> Runtime::remove_cgroup(std::string path) {
  if (path.empty()) co_return Status();
  co_return co_await node_.cgroups.remove(node_.loop, path, kKillLimit);
}

Task<> Runtime::container_exited(ContainerPtr container, shim::ExitedEvent event) {
  auto turn = co_await container->turn.acquire();
  // Created: started by a gantryd that did not live to write that down.
  if (container->is_live() || container->state == ContainerState::kCreated) {
    co_await finish(container, std::move(event));
  }
}

Task<> Runtime::finish(ContainerPtr container, shim::ExitedEvent event) {
  bool oom = false;
  if (auto cgroup = node_.cgroups.open(container->cgroup)) {
    auto kills = cgroups::read_oom_kills(*cgroup);
    oom = kills && kills->value_or(0) > 0;
  }
  co_await end_by_handler(container);
  auto removed = co_await remove_cgroup(container->cgroup);
  if (!removed) log::warning("removing a cgroup", {{"container", container->id()}, {"error", removed.error()}});
  if (event.started_at != 0) container->status.set_started_at(event.started_at);
  std::string_view reason = event.code == 0 ? "Completed" : oom ? "OOMKilled" : "Error";
  container->set_exit(event.code, reason, "", event.finished_at);
  (void)co_await record(container);
  tell_plugins_of_end(container);
  container->exited.set();
  notify(v1::CONTAINER_STOPPED_EVENT, *container);
}

// Its shim is gone. The shim may have had the time to write how the container ended.
Task<> Runtime::finish_unknown(ContainerPtr container, std::string message) {
  if (auto folder = node_.folders.open_run_sandbox(container->sandbox_id)) {
    auto exit = shim::read_exit_record(*folder, container->id());
    if (!exit) {
      log::warning("reading an exit record", {{"container", container->id()}, {"error", exit.error()}});
    } else if (*exit) {
      co_await finish(container, std::move(**exit));
      co_return;
    }
  }
  co_await end_by_handler(container);
  auto removed = co_await remove_cgroup(container->cgroup);
  if (!removed) log::warning("removing a cgroup", {{"container", container->id()}, {"error", removed.error()}});
  container->set_exit(kUnknownCode, kUnknown, message, now());
  (void)co_await record(container);
  tell_plugins_of_end(container);
  container->exited.set();
  notify(v1::CONTAINER_STOPPED_EVENT, *container);
}

}  // namespace gantry::cri
