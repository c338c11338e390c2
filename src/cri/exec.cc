// SPDX-License-Identifier: Apache-2.0
// Further processes in a running container: ExecSync with its output in the answer, Exec by way of the streaming
// server.
#include <fcntl.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <chrono>

#include "base/log.h"
#include "cgroups/hierarchy.h"
#include "cri/boot_records.h"
#include "cri/collect.h"
#include "cri/make_spec.h"
#include "cri/pod_cgroups.h"
#include "cri/pod_users.h"
#include "cri/runtime_impl.h"
#include "cri/streaming.h"
#include "cri/text.h"
#include "cri/validate.h"
#include "sys/file.h"

namespace gantry::cri {
namespace {

// Standard output and error together: what fits into one answer of gRPC, whose clients take 16 MiB.
constexpr std::size_t kMaxOutput = (16U << 20) - (64U << 10);

// As stop.cc's.
constexpr std::chrono::seconds kKillLimit{10};

Result<OwnFd> open_null(int flags) { return sys::openat(sys::kCwd, "/dev/null", flags); }

// The cgroup in which the container's first process is now: systemd, as one, moves itself into a child of its own.
std::string current_cgroup(const Container& container) {
  auto path = cgroups::cgroup_path_of(std::to_string(container.pid));
  return path && path->starts_with(container.cgroup + "/") ? *path : container.cgroup;
}

}  // namespace

Result<ContainerPtr> Runtime::running_container(std::string_view id) const {
  auto container = need_container(id);
  if (container && (*container)->state != ContainerState::kRunning) {
    return fail(Code::kFailedPrecondition,
                cat("container ", (*container)->id(), " is ", to_string((*container)->state), ", not running"));
  }
  return container;
}

Result<SandboxPtr> Runtime::sandbox_of_running(const ContainerPtr& container) const {
  if (auto reachable = need_reachable(*container); !reachable) return std::unexpected(std::move(reachable.error()));
  auto sandbox = sandboxes_.find(container->sandbox_id);
  if (sandbox == sandboxes_.end() || !sandbox->second->shim || !sandbox->second->shim->is_alive()) {
    return fail(Code::kFailedPrecondition, cat("container ", container->id(), " has ended"));
  }
  return sandbox->second;
}

Error Runtime::told_of(const std::string& container_id, Error error) const {
  if (error.code() != Code::kUnavailable) return error;
  auto running = running_container(container_id);
  if (!running) return std::move(running.error());
  if (auto alive = sandbox_of_running(*running); !alive) return std::move(alive.error());
  return error;
}

// The process part of the container's plan; after a restart it is made anew from the record and the image's users.
Task<Status> Runtime::need_process(ContainerPtr container) {
  if (container->process) co_return Status();
  auto apparmor = co_await apparmor_.choose(container->config.linux().security_context());
  if (!apparmor) co_return std::unexpected(std::move(apparmor.error()));
  auto sandbox = sandboxes_.find(container->sandbox_id);
  if (!container->has_config || sandbox == sandboxes_.end() || !sandbox->second->has_config) {
    co_return fail(Code::kFailedPrecondition, "the record of the container was lost; nothing can be executed in it");
  }
  auto spec = make_spec(container->config, sandbox->second->config, container->edits, container->extras);
  if (!spec) co_return std::unexpected(std::move(spec.error()));
  spec->apparmor_profile = std::move(apparmor->profile);
  struct Opened {
    runtime::ContainerSpec spec;
    runtime::UserDatabase users;
  };
  auto opened = co_await node_.disk.run(
      [&images = node_.images, id = container->id(), spec = std::move(*spec)]() mutable -> Result<Opened> {
        auto root = images.find_root(id);
        if (!root) return std::unexpected(std::move(root.error()));
        if (!*root) return fail(Code::kInternal, "the container's root is gone");
        auto users = read_users(images.store_dir(), (*root)->lower);
        if (!users) return std::unexpected(std::move(users.error()));
        if (auto read = read_seccomp_profile(spec); !read) return std::unexpected(std::move(read.error()));
        return Opened{std::move(spec), std::move(*users)};
      });
  if (!opened) co_return std::unexpected(std::move(opened.error()));
  auto process = runtime::plan_process(opened->spec, container->image, node_.host, opened->users, seccomp_);
  if (!process) co_return std::unexpected(std::move(process.error()));
  container->process = std::move(*process);
  co_return Status();
}

Task<Result<std::unique_ptr<shim::Client::Exec>>> Runtime::start_exec(std::string container_id,
                                                                      std::vector<std::string> command, bool terminal,
                                                                      ExecEnds ends) {
  auto container = running_container(container_id);
  if (!container) co_return std::unexpected(std::move(container.error()));
  if (auto reachable = need_reachable(**container); !reachable) {
    co_return std::unexpected(std::move(reachable.error()));
  }
  auto ready = co_await need_process(*container);
  if (!ready) co_return std::unexpected(std::move(ready.error()));
  auto sandbox = sandbox_of_running(*container);
  if (!sandbox) co_return std::unexpected(std::move(sandbox.error()));
  runtime::ExecSpec spec;
  spec.args = std::move(command);
  spec.terminal = terminal;
  spec.join_process = 0;  // of the plan's descriptors, which are none but the pidfd that the shim puts behind them
  spec.users = users_spec((*sandbox)->status.linux().namespaces().options());
  auto plan = runtime::plan_exec(spec, *(*container)->process);
  if (!plan) co_return std::unexpected(std::move(plan.error()));
  if ((*sandbox)->has_handler()) co_return co_await exec_by_handler(*container, *sandbox, *plan, std::move(ends));
  auto bytes = runtime::encode_plan(*plan, 1);
  if (!bytes) co_return std::unexpected(std::move(bytes.error()));
  auto memfd = shim::make_plan_memfd(*bytes);
  if (!memfd) co_return std::unexpected(std::move(memfd.error()));
  auto cgroup = node_.cgroups.open(current_cgroup(**container));
  if (!cgroup) co_return fail_from(cgroup, "the container's cgroup");
  auto cgroup_dir = cgroup_fd(*cgroup);
  if (!cgroup_dir) co_return std::unexpected(std::move(cgroup_dir.error()));
  shim::Client::ExecFds fds;
  fds.plan = std::move(*memfd);
  fds.cgroup = std::move(*cgroup_dir);
  fds.in = std::move(ends.in);
  fds.out = std::move(ends.out);
  fds.err = std::move(ends.err);
  co_return co_await (*sandbox)->shim->exec((*container)->id(), terminal, std::move(fds), ends.launch_limit);
}

// ---- ExecSync

namespace {

struct SyncExec {
  explicit SyncExec(Loop& loop) : done(loop), enough(loop) {}
  std::unique_ptr<shim::Client::Exec> exec;
  Result<sys::ExitStatus> status = fail(Code::kInternal, "not ended");
  Event done;
  Event enough;  // it ended, or nobody waits for that any more
};

Task<> await_exec(std::shared_ptr<SyncExec> sync) {
  sync->status = co_await sync->exec->wait();
  sync->done.set();
  sync->enough.set();
}

Task<> await_caller(std::shared_ptr<SyncExec> sync, std::shared_ptr<Event> over) {
  co_await over->wait();
  sync->enough.set();
}

}  // namespace

Task<Result<v1::ExecSyncResponse>> Runtime::exec_sync(v1::ExecSyncRequest request, std::shared_ptr<Event> over) {
  std::vector<std::string> command(request.cmd().begin(), request.cmd().end());
  if (auto good = validate_command(command); !good) co_return std::unexpected(std::move(good.error()));
  if (request.timeout() < 0) {
    co_return invalid_argument(cat("timeout ", request.timeout(), ": give 0 (no limit) or more seconds"));
  }
  auto container = running_container(request.container_id());
  if (!container) co_return std::unexpected(std::move(container.error()));
  auto in = open_null(O_RDONLY);
  auto out = make_pipe(OurEnd::kRead);
  auto err = make_pipe(OurEnd::kRead);
  for (auto* error : {in ? nullptr : &in.error(), out ? nullptr : &out.error(), err ? nullptr : &err.error()}) {
    if (error != nullptr) co_return std::unexpected(std::move(*error));
  }
  constexpr std::int64_t kLongest = 3600 * 24 * 365;
  std::int64_t limit = request.timeout() > 0 ? std::min(request.timeout(), kLongest) : kLongest;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(limit);  // of launch and run together
  auto sync = std::make_shared<SyncExec>(node_.loop);
  auto started =
      co_await start_exec((*container)->id(), std::move(command), false,
                          {.in = std::move(*in),
                           .out = std::move(out->write),
                           .err = std::move(err->write),
                           .launch_limit = std::min<Duration>(std::chrono::seconds(limit), shim::kLaunchLimit)});
  if (!started) {
    co_return std::unexpected(told_of(
        (*container)->id(), std::move(started.error()).with_context(cat("exec in container ", (*container)->id()))));
  }
  sync->exec = std::move(*started);
  auto budget = std::make_shared<CollectBudget>(kMaxOutput);
  Collector out_collector(node_.loop, std::move(out->read), budget);
  Collector err_collector(node_.loop, std::move(err->read), budget);
  node_.loop.spawn(await_exec(sync));
  if (over) node_.loop.spawn(await_caller(sync, over));
  // A launch that was ended at the deadline may have come to its end by then, and is over all the same.
  const Duration left = deadline - std::chrono::steady_clock::now();
  const bool is_over = left <= Duration::zero();
  bool in_time = !is_over && co_await sync->enough.wait_for(left);
  if (is_over || !sync->done.is_set()) {
    sync->exec->kill();
    bool ended = co_await sync->done.wait_for(kKillLimit);
    std::string why = in_time ? "nobody waits for its answer any more" : cat("timed out after ", limit, " s");
    co_return fail(in_time ? Code::kCancelled : Code::kDeadlineExceeded,
                   cat("exec in container ", (*container)->id(), ": ", why,
                       ended ? " and was killed" : "; its process was killed and has not ended yet"));
  }
  if (!sync->status) {
    co_return std::unexpected(
        told_of((*container)->id(),
                std::move(sync->status.error()).with_context(cat("exec in container ", (*container)->id()))));
  }
  v1::ExecSyncResponse response;
  response.set_stdout(out_collector.finish());
  response.set_stderr(err_collector.finish());
  response.set_exit_code(sync->status->code);
  co_return response;
}

// ---- Exec

namespace {

class Session final : public ExecSession {
 public:
  Session(Runtime& runtime, std::string container_id, std::vector<std::string> command)
      : runtime_(runtime), container_id_(std::move(container_id)), command_(std::move(command)) {}

  Task<Result<ExecStreams>> start(ExecStreamSet wanted) override {
    ExecStreams ours;
    Runtime::ExecEnds theirs;
    if (!wanted.tty) {
      auto opened = open_streams(wanted, ours, theirs);
      if (!opened) co_return std::unexpected(std::move(opened.error()));
    }
    auto started = co_await runtime_.start_exec(container_id_, command_, wanted.tty, std::move(theirs));
    if (!started) co_return std::unexpected(std::move(started.error()));
    exec_ = std::move(*started);
    if (wanted.tty) {
      ours.terminal = exec_->take_terminal();
      auto second = ours.terminal.duplicate();
      if (!second) co_return std::unexpected(std::move(second.error()));
      terminal_ = std::move(*second);
    }
    co_return ours;
  }

  Task<Result<sys::ExitStatus>> wait() override {
    auto ended = co_await exec_->wait();
    if (!ended) co_return std::unexpected(runtime_.told_of(container_id_, std::move(ended.error())));
    co_return ended;
  }

  void resize(std::uint16_t rows, std::uint16_t columns) override {
    winsize size{.ws_row = rows, .ws_col = columns};
    // Fails when the process has just ended; then there is nothing to resize.
    (void)::ioctl(terminal_.get(), TIOCSWINSZ, &size);
  }

  void cancel() override {
    if (exec_) exec_->kill();
  }

 private:
  static Status open_streams(ExecStreamSet wanted, ExecStreams& ours, Runtime::ExecEnds& theirs) {
    auto input = [&]() -> Status {
      if (!wanted.in) {
        auto null = open_null(O_RDONLY);
        if (!null) return std::unexpected(std::move(null.error()));
        theirs.in = std::move(*null);
        return {};
      }
      auto pipe = make_pipe(OurEnd::kWrite);
      if (!pipe) return std::unexpected(std::move(pipe.error()));
      ours.in = std::move(pipe->write);
      theirs.in = std::move(pipe->read);
      return {};
    };
    auto output = [](bool wanted_here, OwnFd& our_end, OwnFd& their_end) -> Status {
      if (!wanted_here) {
        auto null = open_null(O_WRONLY);
        if (!null) return std::unexpected(std::move(null.error()));
        their_end = std::move(*null);
        return {};
      }
      auto pipe = make_pipe(OurEnd::kRead);
      if (!pipe) return std::unexpected(std::move(pipe.error()));
      our_end = std::move(pipe->read);
      their_end = std::move(pipe->write);
      return {};
    };
    if (auto done = input(); !done) return done;
    if (auto done = output(wanted.out, ours.out, theirs.out); !done) return done;
    return output(wanted.err, ours.err, theirs.err);
  }

  Runtime& runtime_;
  std::string container_id_;
  std::vector<std::string> command_;
  std::unique_ptr<shim::Client::Exec> exec_;
  OwnFd terminal_;  // for resizing
};

}  // namespace

Task<Result<v1::ExecResponse>> Runtime::exec(v1::ExecRequest request) {
  std::vector<std::string> command(request.cmd().begin(), request.cmd().end());
  if (auto good = validate_command(command); !good) co_return std::unexpected(std::move(good.error()));
  auto container = running_container(request.container_id());
  if (!container) co_return std::unexpected(std::move(container.error()));
  if (auto reachable = need_reachable(**container); !reachable) {
    co_return std::unexpected(std::move(reachable.error()));
  }
  auto session = std::make_unique<Session>(*this, (*container)->id(), std::move(command));
  auto url = node_.streaming.add_exec(
      {.tty = request.tty(), .in = request.stdin(), .out = request.stdout(), .err = request.stderr()},
      std::move(session));
  if (!url) co_return std::unexpected(std::move(url.error()));
  v1::ExecResponse response;
  response.set_url(*url);
  co_return response;
}

// ---- log

Task<Result<v1::ReopenContainerLogResponse>> Runtime::reopen_container_log(v1::ReopenContainerLogRequest request) {
  auto container = running_container(request.container_id());
  if (!container) co_return std::unexpected(std::move(container.error()));
  if (auto reachable = need_reachable(**container); !reachable) {
    co_return std::unexpected(std::move(reachable.error()));
  }
  auto found = sandboxes_.find((*container)->sandbox_id);
  if (found == sandboxes_.end() || !found->second->shim || !(*container)->has_config || !found->second->has_config) {
    co_return fail(Code::kFailedPrecondition, "the record of the container was lost; its log can't be opened anew");
  }
  SandboxPtr sandbox = found->second;
  auto log = co_await node_.disk.run([directory = sandbox->config.log_directory(),
                                      path = (*container)->config.log_path()] { return open_log(directory, path); });
  if (!log) co_return std::unexpected(std::move(log.error()));
  // A container without a log has nothing to open.
  if (!log->is_open()) co_return v1::ReopenContainerLogResponse();
  if (auto alive = sandbox_of_running(*container); !alive) co_return std::unexpected(std::move(alive.error()));
  auto reopened = co_await sandbox->shim->reopen_log((*container)->id(), std::move(*log));
  if (!reopened) {
    co_return std::unexpected(
        told_of((*container)->id(),
                std::move(reopened.error()).with_context(cat("reopen the log of container ", (*container)->id()))));
  }
  co_return v1::ReopenContainerLogResponse();
}

}  // namespace gantry::cri
