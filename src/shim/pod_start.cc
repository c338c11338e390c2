// SPDX-License-Identifier: Apache-2.0
// What starts in a pod: gantry-init, containers, execs.
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "shim/init_launch.h"
#include "shim/pod.h"
#include "shim/user_namespace.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/pipe.h"

namespace gantry::shim {
namespace {

constexpr std::size_t kMaxContainerId = 80;
constexpr std::size_t kMaxExecs = 512;

// A null device of the host's could be changed for the whole host through /proc/self/fd. The shim's lies on its own
// read-only mount.
Result<OwnFd> without_host_null(OwnFd fd, FdRef own_null) {
  auto info = sys::fstat(fd);
  if (!info) return std::unexpected(std::move(info.error()));
  if (S_ISCHR(info->st_mode) && info->st_rdev == makedev(1, 3)) return duplicate(own_null);
  return fd;
}

}  // namespace

Status Pod::write_sysctls(const ConfigureRequest& request) const {
  for (const auto& [path, value] : request.sysctls) {
    auto folder =
        sys::openat2(fds_.proc, "sys", O_PATH | O_DIRECTORY, sys::Resolve::kBeneath | sys::Resolve::kNoSymlinks);
    if (!folder) return std::unexpected(std::move(folder.error()));
    auto file = sys::openat2(*folder, path.c_str(), O_WRONLY, sys::Resolve::kBeneath | sys::Resolve::kNoSymlinks);
    if (!file) return fail_with(std::move(file.error()), "sysctl " + path);
    if (auto s = sys::write_all(*file, value); !s)
      return fail_with(std::move(s.error()), "sysctl " + path + "=" + value);
  }
  return {};
}

Status Pod::configure(const ConfigureRequest& request, std::vector<OwnFd> fds) {
  if (!request.hostname.empty() && ::sethostname(request.hostname.data(), request.hostname.size()) < 0) {
    return std::unexpected(Error::from_errno(errno, "sethostname " + request.hostname));
  }
  if (!request.sysctls.empty()) {
    // Of an ipc namespace only its root writes them, and none of what is not the pod's.
    auto s = fds_.users.is_open() ? run_as_root_of(fds_.users, [&] { return write_sysctls(request); })
                                  : write_sysctls(request);
    if (!s) return s;
  }
  if (!request.pod_pid || init_.is_open()) return {};
  auto program = take(fds, "gantry-init");
  if (!program) return std::unexpected(std::move(program.error()));
  auto cgroup = take(fds, "gantry-init's cgroup");
  if (!cgroup) return std::unexpected(std::move(cgroup.error()));
  auto init = launch_init(*program, *cgroup, fds_.null, fds_.users);
  if (!init) return fail_with(std::move(init.error()), "start gantry-init");
  if (fds_.users.is_open()) {
    auto space = sys::openat(fds_.proc, (std::to_string(init->pid) + "/ns/pid").c_str(), O_RDONLY);
    if (!space) return fail_with(std::move(space.error()), "gantry-init's PID namespace");
    init_space_ = std::move(*space);
  }
  init_ = std::move(init->pidfd);
  auto place = sys::open_dir(sys::kCwd, runtime::kStagingProc);
  if (!place) return std::unexpected(std::move(place.error()));
  if (auto s = sys::attach(init->processes, *place); !s) return fail_with(std::move(s.error()), "show its processes");
  return {};
}

Result<PidJoin> Pod::pid_namespace_for(const StartRequest& request) {
  if (request.join_pod_pid) {
    if (!init_.is_open()) return fail(Code::kFailedPrecondition, "the pod has no PID namespace of its own");
    return PidJoin{init_space_.is_open() ? FdRef(init_space_) : FdRef(init_), true};
  }
  if (request.target_container.empty()) return PidJoin();
  Process* target = find(request.target_container);
  if (target == nullptr || target->state != Process::State::kRunning) {
    return fail(Code::kFailedPrecondition, "target container " + request.target_container + " is not running");
  }
  return PidJoin{target->launching.pidfd, false};
}

Status Pod::start_hooked(Connection& connection, std::uint32_t number, const StartRequest& request,
                         std::vector<OwnFd> fds) {
  auto memfd = take(fds, "the hooks");
  if (!memfd) return std::unexpected(std::move(memfd.error()));
  auto host = take(fds, "the host's mounts");
  if (!host) return std::unexpected(std::move(host.error()));
  auto bytes = sys::read_all(*memfd, kMaxHookBytes);
  if (!bytes) return fail_with(std::move(bytes.error()), "the hooks");
  auto wanted = decode<ContainerHooks>(*bytes);
  if (!wanted) return std::unexpected(std::move(wanted.error()));
  runtime::LaunchHooks hooks;
  hooks.is_pods = true;
  hooks.host = *host;
  hooks.root = wanted->root;
  hooks.before_root = [&wanted] {
    std::string state = wanted->state_before + std::to_string(::getpid()) + wanted->state_behind;
    return runtime::run_hooks(wanted->create_container, "createContainer", state);
  };
  return start(connection, number, request, std::move(fds), &hooks);
}

Status Pod::start(Connection& connection, std::uint32_t number, const StartRequest& request, std::vector<OwnFd> fds,
                  const runtime::LaunchHooks* hooks, bool by_runtime) {
  if (Process* known = find(request.container_id); known != nullptr) {
    if (known->state != Process::State::kLaunching ||
        (known->owner != nullptr && !is_older(*known->owner, connection))) {
      return fail(Code::kAlreadyExists, "container " + request.container_id + " was started already");
    }
    // Whoever began this start is gone, or its end has yet to be read; who asks again gets its answer.
    known->owner = &connection;
    known->request = number;
    return {};
  }
  if (request.container_id.empty() || request.container_id.size() > kMaxContainerId) {
    return invalid_argument("container id of " + std::to_string(request.container_id.size()) + " bytes: 1 to " +
                            std::to_string(kMaxContainerId) + " were expected");
  }
  if (count(false) >= kMaxContainers) {
    return fail(Code::kResourceExhausted, "the pod has " + std::to_string(kMaxContainers) +
                                              " containers, running and ended ones: remove some that ended");
  }
  LaunchFds launch;
  for (auto [target, what] : {std::pair{&launch.plan, "the plan"}, std::pair{&launch.cgroup, "the cgroup"}}) {
    auto fd = take(fds, what);
    if (!fd) return std::unexpected(std::move(fd.error()));
    *target = std::move(*fd);
  }
  auto log = take(fds, "the log");
  if (!log) return std::unexpected(std::move(log.error()));
  launch.others = std::move(fds);
  auto join = pid_namespace_for(request);
  if (!join) return std::unexpected(std::move(join.error()));

  OwnFd out, err, standard_in;
  if (!request.terminal) {
    auto out_pipe = sys::pipe();
    auto err_pipe = sys::pipe();
    if (!out_pipe) return std::unexpected(std::move(out_pipe.error()));
    if (!err_pipe) return std::unexpected(std::move(err_pipe.error()));
    out = std::move(out_pipe->read_end);
    launch.out = std::move(out_pipe->write_end);
    err = std::move(err_pipe->read_end);
    launch.err = std::move(err_pipe->write_end);
    if (request.open_stdin) {
      auto in_pipe = sys::pipe();
      if (!in_pipe) return std::unexpected(std::move(in_pipe.error()));
      launch.in = std::move(in_pipe->read_end);
      standard_in = std::move(in_pipe->write_end);
    } else {
      auto null = fds_.null.duplicate();
      if (!null) return std::unexpected(std::move(null.error()));
      launch.in = std::move(*null);
    }
  }
  auto cgroup = launch.cgroup.duplicate();
  if (!cgroup) return std::unexpected(std::move(cgroup.error()));
  OwnFd runtime_cgroup;
  auto launching = by_runtime ? begin_by_runtime(std::move(launch), request.terminal, runtime_cgroup)
                              : begin_launch(std::move(launch), *join, hooks);
  if (!launching) return std::unexpected(std::move(launching.error()));
  auto process = std::make_unique<Process>(*this, std::move(*launching), request.container_id, 0, &connection, number);
  process->runtime_cgroup = std::move(runtime_cgroup);
  process->cgroup = std::move(*cgroup);
  process->log = std::move(*log);
  process->out = std::move(out);
  process->err = std::move(err);
  process->standard_in = std::move(standard_in);
  process->has_terminal = request.terminal;
  return add(std::move(process));
}

// A launch that can't be watched is none.
Status Pod::add(std::unique_ptr<Process> process) {
  auto watched = process->watch_launch();
  if (watched) {
    processes_.push_back(std::move(process));
  } else {
    abandon(process->launching);
  }
  return watched;
}

Status Pod::exec(Connection& connection, std::uint32_t number, const ExecRequest& request, std::vector<OwnFd> fds,
                 bool by_runtime) {
  Process* container = find(request.container_id);
  if (container == nullptr || container->state != Process::State::kRunning) {
    return fail(Code::kFailedPrecondition, "container " + request.container_id + " is not running");
  }
  if (request.exec_id == 0) return invalid_argument("exec id 0: a number from 1 on was expected");
  if (count(true) >= kMaxExecs) {
    return fail(Code::kResourceExhausted, "the pod runs " + std::to_string(kMaxExecs) + " execs: wait for some to end");
  }
  LaunchFds launch;
  for (auto [target, what] : {std::pair{&launch.plan, "the plan"}, std::pair{&launch.cgroup, "the cgroup"}}) {
    auto fd = take(fds, what);
    if (!fd) return std::unexpected(std::move(fd.error()));
    *target = std::move(*fd);
  }
  if (!request.terminal) {
    for (auto [target, what] :
         {std::pair{&launch.in, "stdin"}, std::pair{&launch.out, "stdout"}, std::pair{&launch.err, "stderr"}}) {
      auto fd = take(fds, what);
      if (fd) fd = without_host_null(std::move(*fd), fds_.null);
      if (!fd) return std::unexpected(std::move(fd.error()));
      *target = std::move(*fd);
    }
  }
  launch.others = std::move(fds);
  // The plan's last descriptor is the container's first process, which the caller has no pidfd of.
  auto joined = container->launching.pidfd.duplicate();
  if (!joined) return std::unexpected(std::move(joined.error()));
  launch.others.push_back(std::move(*joined));
  OwnFd runtime_cgroup;
  auto launching = by_runtime ? begin_by_runtime(std::move(launch), request.terminal, runtime_cgroup)
                              : begin_launch(std::move(launch), {});
  if (!launching) return std::unexpected(std::move(launching.error()));
  auto process = std::make_unique<Process>(*this, std::move(*launching), request.container_id, request.exec_id,
                                           &connection, number);
  process->runtime_cgroup = std::move(runtime_cgroup);
  process->has_terminal = request.terminal;
  return add(std::move(process));
}

}  // namespace gantry::shim
