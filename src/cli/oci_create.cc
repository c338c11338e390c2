// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_create.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>

#include "base/text.h"
#include "cgroups/hierarchy.h"
#include "cli/oci_cgroup.h"
#include "cli/oci_foreground.h"
#include "cli/oci_notify.h"
#include "cli/oci_outside.h"
#include "cli/oci_rootless.h"
#include "cli/oci_scope.h"
#include "cli/oci_seccomp.h"
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

struct Bundle {
  std::string path;  // absolute, without links
  OwnFd dir;
  std::string text;  // config.json
  oci::Config config;
  oci::PlannedContainer planned;
  runtime::HostFacts host;
};

Result<Bundle> read_bundle(const std::string& path) {
  Bundle bundle;
  char real[PATH_MAX];
  if (::realpath(path.c_str(), real) == nullptr) return not_found(cat("bundle ", quoted(path), " does not exist"));
  bundle.path = real;
  auto dir = sys::openat(sys::kCwd, real, O_RDONLY | O_DIRECTORY);
  if (!dir) return std::unexpected(std::move(dir.error()));
  bundle.dir = std::move(*dir);
  auto text = sys::read_file(bundle.dir, "config.json", oci::kMaxConfigBytes);
  if (!text) return fail_with(std::move(text.error()), cat("bundle ", bundle.path));
  bundle.text = std::move(*text);
  auto config = oci::parse_config(bundle.text);
  if (!config) return std::unexpected(std::move(config.error()));
  bundle.config = std::move(*config);
  return bundle;
}

std::string absolute(std::string path) {
  char here[PATH_MAX];
  bool is_relative = !path.starts_with('/') && ::getcwd(here, sizeof(here)) != nullptr;
  return is_relative ? cat(here, "/", path) : path;
}

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

// One container on its way from nothing to its gate. What it has made is taken back unless keep() is called.
class Creation {
 public:
  Creation(ContainerFolder folder, Bundle bundle, const CreateOptions& options, Log& log, Times& times)
      : folder_(std::move(folder)),
        bundle_(std::move(bundle)),
        options_(options),
        log_(log),
        times_(times),
        run_hooks_(hook_runner(bundle_.config.hooks, log)) {}
  ~Creation() {
    if (!is_kept_) take_back();
  }
  Creation(const Creation&) = delete;
  Creation& operator=(const Creation&) = delete;

  Result<LaunchedProcess> run() {
    // The record first: whatever is made after it is found by delete.
    if (auto s = record_intent(); !s) return std::unexpected(std::move(s.error()));
    times_.lap("state");
    auto kept = make_scope();
    if (!kept) return std::unexpected(std::move(kept.error()));
    auto cgroup = prepare_cgroup();
    if (!cgroup) return std::unexpected(std::move(cgroup.error()));
    times_.lap("cgroup");
    if (auto s = enter(); !s) return std::unexpected(std::move(s.error()));
    auto launch = make_launch();
    if (!launch) return std::unexpected(std::move(launch.error()));
    launch->cgroup = std::move(*cgroup);
    auto hold = make_hold(*launch);
    if (!hold) return std::unexpected(std::move(hold.error()));
    auto process = carry_out(std::move(*launch), std::move(*hold), options_.console_socket);
    host_.close();
    if (!process) return process;
    times_.lap("launch");
    times_.split("launch", *process->notes.get());
    auto pidfd = duplicate(process->pidfd);
    if (!pidfd) return std::unexpected(std::move(pidfd.error()));
    process_ = std::move(*pidfd);
    if (auto s = record_process(process->pid); !s) return std::unexpected(std::move(s.error()));
    times_.lap("state");
    return process;
  }

  // Its hooks may run from here on.
  void begin_start() { has_run_hooks_ = true; }
  // From here on it is delete's to end it.
  void keep() { is_kept_ = true; }
  ContainerFolder& folder() { return folder_; }
  const ContainerRecord& record() const { return record_; }
  const oci::Config& config() const { return bundle_.config; }
  const HookRunner& hooks() const { return run_hooks_; }

 private:
  // With its keeper, until the container has a process.
  Result<std::optional<KeptScope>> make_scope() const {
    if (!scope_) return std::nullopt;
    auto made = KeptScope::make(*scope_, options_.id);
    if (!made) return std::unexpected(std::move(made.error()));
    return std::move(*made);
  }

  Result<std::string> choose_cgroup() {
    const std::string& path = bundle_.config.linux_.cgroups_path;
    if (!options_.in_scope) return container_cgroup(path, options_.id);
    auto scope = container_scope(path, options_.id);
    if (!scope) return std::unexpected(std::move(scope.error()));
    if (is_rootless()) {
      return fail(Code::kUnimplemented,
                  "--systemd-cgroup: of who is not root, whose scopes are an own systemd's, this is "
                  "not supported yet");
    }
    scope_ = std::move(*scope);
    return scope_->container();
  }

  Status record_intent() {
    auto cgroup = choose_cgroup();
    if (!cgroup) return std::unexpected(std::move(cgroup.error()));
    auto is_there = is_cgroup_there(*cgroup);
    if (!is_there && !can_do_without(is_there.error())) return std::unexpected(std::move(is_there.error()));
    record_.made_cgroup = is_there && !*is_there;
    record_.in_scope = scope_.has_value();
    record_.id = options_.id;
    record_.oci_version = bundle_.config.oci_version;
    record_.bundle = bundle_.path;
    const std::string& root = bundle_.config.root_path;
    record_.rootfs = root.starts_with('/') ? root : cat(bundle_.path, "/", root);
    record_.cgroup = std::move(*cgroup);
    record_.created = time_text();
    record_.owner = ::geteuid();
    record_.annotations = bundle_.config.annotations;
    if (auto s = folder_.write(record_); !s) return s;
    if (auto s = folder_.write_config(bundle_.text); !s) return s;
    if (!callers_notify_socket().empty()) {
      if (auto s = make_notify_folder(folder_.dir()); !s) return s;
    }
    return folder_.make_fifos();
  }

  // Whom nobody lets make cgroups gets none, unless limits are wanted.
  bool can_do_without(const Error& why) const {
    if (!options_.is_rootless || bundle_.config.linux_.has_limits) return false;
    return why.is_privilege() || why.sys() == EROFS || !cgroups::Hierarchy::find();
  }

  // Not open for a container without a cgroup.
  Result<OwnFd> prepare_cgroup() {
    auto made = make_cgroup(record_.cgroup);
    if (!made && can_do_without(made.error())) {
      record_.cgroup.clear();
      record_.made_cgroup = false;
      if (!bundle_.config.linux_.cgroups_path.empty())
        log_.warning(cat("the container is made without a cgroup: ", made.error().message()));
      if (auto s = folder_.write(record_); !s) return std::unexpected(std::move(s.error()));
      return OwnFd();
    }
    if (!made && options_.is_rootless && bundle_.config.linux_.has_limits)
      return fail_with(std::move(made.error()), "linux.resources: limits need a cgroup");
    if (!made) return std::unexpected(std::move(made.error()));
    has_cgroup_ = true;
    auto s = limit_cgroup(*made, bundle_.config.linux_, !is_rootless());
    if (!s) return std::unexpected(std::move(s.error()));
    return duplicate(made->dir());
  }

  Status stay_outside() {
    const oci::Hooks& hooks = bundle_.config.hooks;
    bool has_hooks =
        !hooks.prestart.empty() || !hooks.create_runtime.empty() || !hooks.poststart.empty() || !hooks.poststop.empty();
    if (!needs_outside(bundle_.planned, bundle_.host, has_hooks)) return {};
    auto made = Outside::make([this, pid = ::getpid()](std::string_view request) {
      if (request[0] == kMapIds) return map_ids_of(pid, bundle_.planned.ids);
      return run_hooks_(static_cast<HookKind>(request[0]), std::string(request.substr(1)));
    });
    if (!made) return std::unexpected(std::move(made.error()));
    outside_ = std::move(*made);
    run_hooks_ = [this](HookKind kind, const std::string& state) {
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
    launch.hooks.map_ids = !launch.ids.is_empty();
    runtime::ProcessPlan& process = launch.plan.process;
    process.preserved_fds = options_.preserve_fds;
    if (std::uint32_t count = activated_fds(); count != 0) {
      process.env.push_back(cat("LISTEN_FDS=", count));
      process.env.push_back("LISTEN_PID=1");
      if (const char* names = ::getenv("LISTEN_FDNAMES")) process.env.push_back(cat("LISTEN_FDNAMES=", names));
    }
    process.keep_keyring = options_.keeps_keyring;
    launch.state = [this](pid_t pid) {
      record_.pid = pid;
      return state_json(record_, ContainerState::kCreating, false);
    };
    add_home(launch.fds[static_cast<std::size_t>(launch.plan.root.rootfs)], process);
    if (auto s = add_gate(folder_.dir(), launch.plan, launch.fds); !s) return std::unexpected(std::move(s.error()));
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
    return Hold{std::move(pipe->write_end), [this](pid_t pid) {
                  has_run_hooks_ = true;
                  record_.pid = pid;
                  // All is made by now: the specification's step 2 is over.
                  std::string state = state_json(record_, ContainerState::kCreated, false);
                  if (auto s = run_hooks_(HookKind::kPrestart, state); !s) return s;
                  return run_hooks_(HookKind::kCreateRuntime, state);
                }};
  }

  // Hooks in the container's namespaces, where its process has another number.
  Status set_launch_hooks(runtime::LaunchHooks& out) {
    const oci::Hooks& hooks = bundle_.config.hooks;
    auto run = [this](const std::vector<oci::Hook>& which, std::string_view kind, ContainerState state) {
      record_.pid = ::getpid();
      return run_hooks(which, kind, state_json(record_, state, false));
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
    out.root = record_.rootfs;
    out.before_root = [=] { return run(hooks.create_container, "createContainer", ContainerState::kCreated); };
    return {};
  }

  Status record_process(pid_t pid) {
    auto proc = sys::open_dir(sys::kCwd, "/proc");
    if (!proc) return std::unexpected(std::move(proc.error()));
    // Our child, which nobody has waited for: the number is its.
    auto started = sys::start_time_of(*proc, pid);
    if (!started) return std::unexpected(std::move(started.error()));
    record_.pid = pid;
    record_.start_time = *started;
    record_.is_creating = false;
    if (!options_.pid_file.empty()) {
      if (auto s = replace_file(options_.pid_file, std::to_string(pid), 0644); !s)
        return fail_with(std::move(s.error()), "--pid-file");
    }
    return folder_.write(record_);
  }

  void take_back() {
    if (process_.is_open()) (void)sys::pidfd_send_signal(process_, SIGKILL);
    if (has_cgroup_) {
      if (auto s = end_cgroup(record_.cgroup, record_.made_cgroup); !s) log_.warning(s.error().message());
    }
    if (has_run_hooks_) {
      auto s = run_hooks_(HookKind::kPoststop, state_json(record_, ContainerState::kStopped, false));
      if (!s) log_.warning(s.error().message());
    }
    if (auto s = folder_.remove(); !s) log_.warning(s.error().message());
  }

  ContainerFolder folder_;
  Bundle bundle_;
  const CreateOptions& options_;
  Log& log_;
  Times& times_;
  ContainerRecord record_;
  HookRunner run_hooks_;
  std::optional<Outside> outside_;
  OwnFd process_;
  MountFd host_;  // what createContainer hooks see
  std::optional<Scope> scope_;
  bool has_cgroup_ = false, has_run_hooks_ = false, is_kept_ = false;
};

// All that can be said against the bundle and the flags, before anything is made.
Result<Bundle> check_bundle(const std::string& root, const CreateOptions& options, bool stays, Log& log) {
  auto bundle = read_bundle(options.bundle);
  if (!bundle) return bundle;
  if (!callers_notify_socket().empty()) add_notify_socket(absolute(cat(root, "/", options.id)), bundle->config);
  auto host = runtime::read_host_facts();
  if (!host) return std::unexpected(std::move(host.error()));
  SeccompFolder kept(root);
  runtime::SeccompCache seccomp(1, &kept);
  auto planned = oci::plan_config(bundle->config, *host, seccomp);
  if (!planned) return std::unexpected(std::move(planned.error()));
  bundle->planned = std::move(*planned);
  bundle->host = std::move(*host);
  for (const std::string& warning : bundle->planned.warnings) log.warning(warning);
  auto s = check_console(bundle->planned.plan.process.terminal, stays, options.console_socket);
  if (!s) return std::unexpected(std::move(s.error()));
  return bundle;
}

}  // namespace

Status create_container(const std::string& root, const CreateOptions& options, Log& log) {
  Times times;
  auto bundle = check_bundle(root, options, false, log);
  if (!bundle) return std::unexpected(std::move(bundle.error()));
  auto folder = ContainerFolder::make(root, options.id);
  if (!folder) return std::unexpected(std::move(folder.error()));
  times.lap("bundle");
  Creation creation(std::move(*folder), std::move(*bundle), options, log, times);
  auto process = creation.run();
  if (!process) return std::unexpected(std::move(process.error()));
  creation.keep();
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
  Creation creation(std::move(*folder), std::move(*bundle), options, log, times);
  // Before the process is there: none of its signals is missed.
  Foreground foreground;
  if (!options.detaches) {
    auto made = Foreground::make();
    if (!made) return std::unexpected(std::move(made.error()));
    foreground = std::move(*made);
  }
  auto process = creation.run();
  if (!process) return std::unexpected(std::move(process.error()));
  auto live = look_at(creation.folder(), true);
  if (!live) return std::unexpected(std::move(live.error()));
  auto notify = NotifyProxy::open(creation.folder().dir());
  if (!notify) return std::unexpected(std::move(notify.error()));
  creation.begin_start();
  auto started = start_locked(creation.folder(), *live, creation.config(), creation.hooks(), times, log);
  if (!started) return std::unexpected(std::move(started.error()));
  times.split("exec", *process->notes.get());
  log.debug(cat("run took ", times.text()));
  creation.keep();
  if (auto s = creation.folder().unlock(); !s) log.warning(s.error().message());
  if (options.detaches) {
    auto s = *notify ? (*notify)->wait(live->pidfd, live->record.pid) : Status();
    return s ? Result<int>(0) : std::unexpected(std::move(s.error()));
  }
  auto status = foreground.stay(std::move(*process), std::move(*notify), &log);
  if (options.keeps) return status ? Result<int>(status->code) : std::unexpected(status.error());
  if (auto s = creation.folder().lock(); s) {
    if (auto now = look_at(creation.folder(), true))
      s = forget_container(creation.folder(), *now, log, creation.hooks());
    if (!s) log.warning(s.error().message());
  }
  if (!status) return std::unexpected(std::move(status.error()));
  return status->code;
}

}  // namespace gantry::cli
