// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_create.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/oci_cgroup.h"
#include "cli/oci_foreground.h"
#include "cli/oci_hooks.h"
#include "cli/oci_notify.h"
#include "cli/oci_scope.h"
#include "cli/oci_seccomp.h"
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
      : folder_(std::move(folder)), bundle_(std::move(bundle)), options_(options), log_(log), times_(times) {}
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
    auto made = make_cgroup(record_.cgroup);
    if (!made) return std::unexpected(std::move(made.error()));
    has_cgroup_ = true;
    if (auto s = limit_cgroup(*made, bundle_.config.linux_); !s) return std::unexpected(std::move(s.error()));
    times_.lap("cgroup");
    auto launch = make_launch();
    if (!launch) return std::unexpected(std::move(launch.error()));
    auto cgroup = duplicate(made->dir());
    if (!cgroup) return std::unexpected(std::move(cgroup.error()));
    launch->cgroup = std::move(*cgroup);
    auto hold = make_hold(*launch);
    if (!hold) return std::unexpected(std::move(hold.error()));
    auto process = carry_out(std::move(*launch), std::move(*hold), options_.console_socket);
    host_.close();
    if (!process) return process;
    times_.lap("launch");
    times_.split("launch", *process->notes.get());
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
    scope_ = std::move(*scope);
    return scope_->container();
  }

  Status record_intent() {
    auto cgroup = choose_cgroup();
    if (!cgroup) return std::unexpected(std::move(cgroup.error()));
    auto is_there = is_cgroup_there(*cgroup);
    if (!is_there) return std::unexpected(std::move(is_there.error()));
    record_.made_cgroup = !*is_there;
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
                  const oci::Hooks& all = bundle_.config.hooks;
                  if (auto s = run_hooks(all.prestart, "prestart", state); !s) return s;
                  return run_hooks(all.create_runtime, "createRuntime", state);
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
    if (has_cgroup_) {
      if (auto s = end_cgroup(record_.cgroup, record_.made_cgroup); !s) log_.warning(s.error().message());
    }
    if (has_run_hooks_) {
      run_poststop_hooks(bundle_.config.hooks.poststop, state_json(record_, ContainerState::kStopped, false), log_);
    }
    if (auto s = folder_.remove(); !s) log_.warning(s.error().message());
  }

  ContainerFolder folder_;
  Bundle bundle_;
  const CreateOptions& options_;
  Log& log_;
  Times& times_;
  ContainerRecord record_;
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
  for (const std::string& warning : bundle->planned.warnings) log.warning(warning);
  auto s = check_console(bundle->planned.plan.process.terminal, stays, options.console_socket);
  if (!s) return std::unexpected(std::move(s.error()));
  return bundle;
}

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
    if (!size && size.error().is_would_block() && entries[1].revents == 0) continue;
    if (!size || *size == 0) return {};
    auto decoded = runtime::decode_report(std::string_view(packet, *size));
    if (!decoded) return std::unexpected(std::move(decoded.error()));
    return std::unexpected(Error(static_cast<Code>(decoded->code), std::move(decoded->message)));
  }
}

Status start_locked(ContainerFolder& folder, const LiveContainer& live, const oci::Config& config, Times& times,
                    Log& log) {
  if (live.state != ContainerState::kCreated) {
    return fail(Code::kFailedPrecondition,
                cat("container ", live.record.id, " can't be started: it is ", to_string(live.state)));
  }
  if (!config.process) {
    // The specification wants an error, and leaves open how it is told: others say it and end the container, and the
    // validation program for it takes no other answer.
    log.error(cat("container ", live.record.id, " has no program to run: config.json has no process"));
    return sys::pidfd_send_signal(live.pidfd, SIGKILL);
  }
  if (auto s = pass_gate(folder.dir(), live.pidfd); !s) return s;
  times.lap("exec");
  auto s = run_hooks(config.hooks.poststart, "poststart", state_json(live.record, ContainerState::kRunning, false));
  // As the specification has it since 1.2.
  if (!s) (void)sys::pidfd_send_signal(live.pidfd, SIGKILL);
  return s;
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

Status start_container(const std::string& root, const std::string& id, Log& log) {
  Times times;
  auto folder = ContainerFolder::open(root, id);
  if (!folder) return std::unexpected(std::move(folder.error()));
  if (auto s = folder->lock(); !s) return s;
  auto live = look_at(*folder, true);
  if (!live) return std::unexpected(std::move(live.error()));
  auto config = folder->read_config();
  if (!config) return std::unexpected(std::move(config.error()));
  times.lap("state");
  auto notify = NotifyProxy::open(folder->dir());
  if (!notify) return std::unexpected(std::move(notify.error()));
  auto started = start_locked(*folder, *live, *config, times, log);
  log.debug(cat("start took ", times.text()));
  if (!started || !*notify) return started;
  // Others may end it meanwhile.
  if (auto s = folder->unlock(); !s) return s;
  return (*notify)->wait(live->pidfd, live->record.pid);
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
  if (auto s = start_locked(creation.folder(), *live, creation.config(), times, log); !s)
    return std::unexpected(std::move(s.error()));
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
    if (auto now = look_at(creation.folder(), true)) s = forget_container(creation.folder(), *now, log);
    if (!s) log.warning(s.error().message());
  }
  if (!status) return std::unexpected(std::move(status.error()));
  return status->code;
}

Status forget_container(ContainerFolder& folder, const LiveContainer& live, Log& log) {
  if (!live.record.cgroup.empty()) {
    if (auto s = end_cgroup(live.record.cgroup, live.record.made_cgroup); !s) return s;
  }
  if (live.record.in_scope) {
    if (auto s = wait_for_scope_end(live.record.cgroup); !s) log.warning(s.error().message());
  }
  auto config = folder.read_config();
  if (auto s = folder.remove(); !s) return s;
  if (config) {
    run_poststop_hooks(config->hooks.poststop, state_json(live.record, ContainerState::kStopped, false), log);
  }
  return {};
}

}  // namespace gantry::cli
