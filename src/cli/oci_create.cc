// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_create.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/oci_foreground.h"
#include "cli/oci_making.h"
#include "cli/oci_notify.h"
#include "cli/oci_outside.h"
#include "cli/oci_rootless.h"
#include "cli/oci_start.h"
#include "cli/oci_times.h"
#include "runtime/launch/launch.h"
#include "runtime/oci/sources.h"
#include "runtime/plan/users.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/pipe.h"
#include "sys/process.h"

namespace gantry::cli {
namespace {

namespace oci = runtime::oci;

// HOME, as programs expect it, from the root folder's passwd, when nobody has set it.
void add_home(FdRef root, runtime::ProcessPlan& process) {
  constexpr std::size_t kMaxPasswd = 1U << 20;
  for (const std::string& entry : process.env) {
    if (entry.starts_with("HOME=")) return;
  }
  std::string home = "/";
  auto file = sys::openat2(root, "etc/passwd", O_RDONLY | O_NONBLOCK,
                           sys::Resolve::kInRoot | sys::Resolve::kNoMagicLinks | sys::Resolve::kNoXdev);
  auto info = file ? sys::fstat(*file) : Result<struct stat>(std::unexpected(file.error()));
  if (info && S_ISREG(info->st_mode)) {
    auto text = sys::read_all(*file, kMaxPasswd);
    auto users = text ? runtime::UserDatabase::parse(*text, "") : Result<runtime::UserDatabase>();
    auto user = users ? users->user_by_uid(process.uid) : std::nullopt;
    if (user && !user->home.empty() && runtime::check_home(user->home, "passwd")) home = user->home;
  }
  process.env.push_back(cat("HOME=", home));
}

// The launch of a container, up to its gate.
class Creation {
 public:
  // `is_run`: it is to be started as well.
  Creation(ContainerFolder folder, Bundle bundle, const CreateOptions& options, bool is_run, Log& log, Times& times)
      : making_(std::move(folder), std::move(bundle), options, log),
        bundle_(making_.bundle()),
        options_(options),
        log_(log),
        times_(times),
        goes_on_(is_run && can_go_on()) {
    if (goes_on_) making_.go_on();
  }

  Result<LaunchedProcess> run() {
    auto cgroup = making_.begin(times_);
    if (!cgroup) return std::unexpected(std::move(cgroup.error()));
    if (auto s = enter(); !s) return std::unexpected(std::move(s.error()));
    auto launch = make_launch();
    if (!launch) return std::unexpected(std::move(launch.error()));
    launch->cgroup = std::move(*cgroup);
    launch->meanwhile = [this](const shim::Launching& launching) {
      auto s = making_.complete();
      if (s) s = making_.prepare_record(launching.pid);
      return s && goes_on_ ? making_.record_process(launching.pid, launching.pidfd) : s;
    };
    auto hold = make_hold(*launch);
    if (!hold) return std::unexpected(std::move(hold.error()));
    auto process = carry_out(std::move(*launch), std::move(*hold), options_.console_socket);
    host_.close();
    if (!process) return process;
    times_.lap("launch");
    times_.split("launch", *process->notes.get());
    if (goes_on_) {
      times_.split_rest("launch", "exec", *process->notes.get());
      return process;
    }
    auto s = making_.record_process(process->pid, process->pidfd);
    if (!s) return std::unexpected(std::move(s.error()));
    times_.lap("state");
    return process;
  }

  Making& making() { return making_; }
  // Whether the program runs already when run() has returned, with nothing left to do for its start.
  bool goes_on() const { return goes_on_; }

 private:
  // Nobody is to be told anything between the making of this container and its start, nor of a process that is not made
  // in the end, and the process that is cloned is the container's, with our clocks.
  bool can_go_on() const {
    const oci::Hooks& hooks = bundle_.config.hooks;
    const runtime::Plan& plan = bundle_.planned.plan;
    bool has_hooks = !hooks.prestart.empty() || !hooks.create_runtime.empty() || !hooks.create_container.empty() ||
                     !hooks.start_container.empty() || !hooks.poststart.empty() || !hooks.poststop.empty();
    bool is_ours = !plan.namespaces.in_user && plan.namespaces.join_process == runtime::kNoFd &&
                   plan.namespaces.join_pid == runtime::kNoFd && !plan.namespaces.new_time &&
                   plan.namespaces.join_time == runtime::kNoFd;
    return !has_hooks && is_ours && !plan.process.terminal && plan.process.seccomp.agent.path.empty() &&
           options_.pid_file.empty() && !options_.in_scope && !options_.is_rootless && callers_notify_socket().empty();
  }

  Status stay_outside() {
    const oci::Hooks& hooks = bundle_.config.hooks;
    bool has_hooks =
        !hooks.prestart.empty() || !hooks.create_runtime.empty() || !hooks.poststart.empty() || !hooks.poststop.empty();
    if (!needs_outside(bundle_.planned, bundle_.host, has_hooks)) return {};
    auto made = Outside::make([this, pid = ::getpid()](std::string_view request) {
      if (request[0] == kMapIds) return map_ids_of(pid, bundle_.planned.ids);
      return making_.hooks()(static_cast<HookKind>(request[0]), std::string(request.substr(1)));
    });
    if (!made) return std::unexpected(std::move(made.error()));
    outside_ = std::move(*made);
    making_.hooks() = [this](HookKind kind, const std::string& state) {
      return outside_->ask(std::string(1, static_cast<char>(kind)) + state);
    };
    return {};
  }

  Status enter() {
    if (auto s = stay_outside(); !s) return s;
    auto moved = enter_for(bundle_.planned, bundle_.host, outside_ ? &*outside_ : nullptr);
    if (!moved) return std::unexpected(std::move(moved.error()));
    if (!*moved) return {};
    // What is mounted is cloned as this mount namespace has it.
    auto dir = sys::openat(sys::kCwd, bundle_.path.c_str(), O_RDONLY | O_DIRECTORY);
    if (!dir) return std::unexpected(std::move(dir.error()));
    bundle_.dir = std::move(*dir);
    return {};
  }

  Result<Launch> make_launch() {
    Launch launch;
    launch.in_empty_world = true;
    auto fds = oci::open_sources(bundle_.dir, bundle_.planned);
    if (!fds) return std::unexpected(std::move(fds.error()));
    launch.fds = std::move(*fds);
    launch.plan = std::move(bundle_.planned.plan);
    launch.ids = std::move(bundle_.planned.ids);
    launch.mount_label = std::move(bundle_.planned.mount_label);
    launch.hooks.map_ids = !launch.ids.is_empty();
    runtime::ProcessPlan& process = launch.plan.process;
    process.preserved_fds = options_.preserve_fds;
    if (std::uint32_t count = activated_fds(); count != 0) {
      process.env.push_back(cat("LISTEN_FDS=", count));
      process.env.push_back("LISTEN_PID=1");
      if (const char* names = ::getenv("LISTEN_FDNAMES")) process.env.push_back(cat("LISTEN_FDNAMES=", names));
    }
    process.keep_keyring = options_.keeps_keyring;
    launch.state = [this](pid_t pid) { return making_.state(pid, ContainerState::kCreating); };
    add_home(launch.fds[static_cast<std::size_t>(launch.plan.root.rootfs)], process);
    if (auto s = add_gate(making_.folder().dir(), goes_on_, launch); !s) return std::unexpected(std::move(s.error()));
    return launch;
  }

  Result<Hold> make_hold(Launch& launch) {
    const oci::Hooks& hooks = bundle_.config.hooks;
    launch.hooks.tells_times = log_.debugs();
    auto space = oci::other_mount_namespace(bundle_.config.linux_);
    if (!space) return std::unexpected(std::move(space.error()));
    if (space->is_open()) {
      launch.hooks.mount_namespace = *space;
      launch.fds.push_back(std::move(*space));
    }
    if (auto s = set_launch_hooks(launch.hooks); !s) return std::unexpected(std::move(s.error()));
    if (hooks.prestart.empty() && hooks.create_runtime.empty() && hooks.create_container.empty()) return Hold();
    auto pipe = sys::pipe();
    if (!pipe) return std::unexpected(std::move(pipe.error()));
    launch.fds.push_back(std::move(pipe->read_end));
    launch.plan.hold = static_cast<runtime::FdIndex>(launch.fds.size() - 1);
    return Hold{std::move(pipe->write_end), [this](pid_t pid) { return making_.run_runtime_hooks(pid); }};
  }

  // Hooks in the container's namespaces, where its process has another number.
  Status set_launch_hooks(runtime::LaunchHooks& out) {
    const oci::Hooks& hooks = bundle_.config.hooks;
    auto run = [this](const std::vector<oci::Hook>& which, std::string_view kind, ContainerState state) {
      return runtime::run_hooks(which, kind, making_.state(::getpid(), state));
    };
    if (!hooks.start_container.empty())
      out.before_program = [=] { return run(hooks.start_container, "startContainer", ContainerState::kCreated); };
    if (hooks.create_container.empty()) return {};
    auto host = sys::clone_mount(sys::kCwd, "/", sys::Recursive::kYes);
    if (!host) return fail_with(std::move(host.error()), "hooks.createContainer");
    auto s = sys::set_attributes(*host, "", sys::MountAttr::kNone, sys::MountAttr::kNone, sys::Propagation::kPrivate,
                                 sys::Recursive::kYes);
    if (!s) return s;
    host_ = std::move(*host);
    out.host = host_;
    out.root = making_.record().rootfs;
    out.before_root = [=] { return run(hooks.create_container, "createContainer", ContainerState::kCreated); };
    return {};
  }

  std::optional<Outside> outside_;  // outlives the making, whose hooks it runs
  Making making_;
  Bundle& bundle_;
  const CreateOptions& options_;
  Log& log_;
  Times& times_;
  bool goes_on_;
  MountFd host_;  // what createContainer hooks see
};

}  // namespace

Status create_container(const std::string& root, const CreateOptions& options, Log& log) {
  Times times;
  auto bundle = check_bundle(root, options, false, log);
  if (!bundle) return std::unexpected(std::move(bundle.error()));
  auto folder = ContainerFolder::make(root, options.id);
  if (!folder) return std::unexpected(std::move(folder.error()));
  times.lap("bundle");
  Creation creation(std::move(*folder), std::move(*bundle), options, false, log, times);
  auto process = creation.run();
  if (!process) return std::unexpected(std::move(process.error()));
  creation.making().keep();
  log.debug(cat("create took ", times.text()));
  return {};
}

Result<int> run_container(const std::string& root, const CreateOptions& options, Log& log) {
  Times times;
  auto bundle = check_bundle(root, options, !options.detaches, log);
  if (!bundle) return std::unexpected(std::move(bundle.error()));
  if (!bundle->config.process) return invalid_argument("process: is missing: the program to run was expected");
  auto folder = ContainerFolder::make(root, options.id);
  if (!folder) return std::unexpected(std::move(folder.error()));
  times.lap("bundle");
  Creation creation(std::move(*folder), std::move(*bundle), options, true, log, times);
  // Before the process is there: none of its signals is missed.
  Foreground foreground;
  if (!options.detaches) {
    auto made = Foreground::make();
    if (!made) return std::unexpected(std::move(made.error()));
    foreground = std::move(*made);
  }
  auto process = creation.run();
  if (!process) return std::unexpected(std::move(process.error()));
  Making& making = creation.making();
  auto pidfd = duplicate(process->pidfd);
  if (!pidfd) return std::unexpected(std::move(pidfd.error()));
  LiveContainer live{making.record(), ContainerState::kCreated, PidFd(std::move(*pidfd))};
  auto notify = NotifyProxy::open(making.folder().dir());
  if (!notify) return std::unexpected(std::move(notify.error()));
  making.begin_hooks();
  if (!creation.goes_on()) {
    auto started = start_locked(making.folder(), live, making.config().process.has_value(), making.hooks(), times, log);
    if (!started) return std::unexpected(std::move(started.error()));
  }
  times.split("exec", *process->notes.get());
  log.debug(cat("run took ", times.text()));
  making.keep();
  if (auto s = making.folder().unlock(); !s) log.warning(s.error().message());
  if (!options.detaches)
    return stay_to_its_end(making, foreground, std::move(*process), std::move(*notify), options.keeps, log);
  auto s = *notify ? (*notify)->wait(live.pidfd, live.record.pid) : Status();
  return s ? Result<int>(0) : std::unexpected(std::move(s.error()));
}

}  // namespace gantry::cli
