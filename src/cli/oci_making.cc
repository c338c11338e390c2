// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_making.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>

#include "base/random.h"
#include "base/text.h"
#include "cgroups/hierarchy.h"
#include "cli/oci_cgroup.h"
#include "cli/oci_rootless.h"
#include "cli/oci_seccomp.h"
#include "runtime/criu/externals.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/process.h"

namespace gantry::cli {

namespace oci = runtime::oci;

namespace {

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

// A standard stream of this process's that is the host's, as CRIU names it; "" for others.
std::string name_of_stream(FdRef stream) {
  auto info = sys::fstat(stream);
  if (info && S_ISFIFO(info->st_mode)) return runtime::pipe_name(*info);
  auto mount = info && S_ISREG(info->st_mode) ? sys::mount_id(stream) : Result<std::uint64_t>(0);
  if (!mount || *mount == 0) return "";
  return runtime::file_name(*mount, *info);
}

}  // namespace

Result<Bundle> check_bundle(const std::string& root, const CreateOptions& options, bool stays, Log& log) {
  auto bundle = read_bundle(options.bundle);
  if (!bundle) return bundle;
  if (!callers_notify_socket().empty()) add_notify_socket(absolute(cat(root, "/", options.id)), bundle->config);
  auto host = runtime::read_launch_facts();
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

Making::~Making() {
  kept_.reset();
  if (!is_kept_) take_back();
}

Result<OwnFd> Making::begin(Times& times) {
  if (auto s = record_intent(); !s) return std::unexpected(std::move(s.error()));
  times.lap("state");
  if (scope_) {
    auto kept = KeptScope::make(*scope_, options_.id);
    if (!kept) return std::unexpected(std::move(kept.error()));
    kept_.emplace(std::move(*kept));
  }
  auto cgroup = prepare_cgroup();
  if (cgroup) times.lap("cgroup");
  return cgroup;
}

Result<std::string> Making::choose_cgroup() {
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

Status Making::record_intent() {
  auto cgroup = choose_cgroup();
  if (!cgroup) return std::unexpected(std::move(cgroup.error()));
  auto is_there = is_cgroup_there(*cgroup);
  if (!is_there && !can_do_without(is_there.error())) return std::unexpected(std::move(is_there.error()));
  record_.made_cgroup = is_there && !*is_there;
  auto claim = random_hex(8);
  if (!claim) return std::unexpected(std::move(claim.error()));
  record_.claim = std::move(*claim);
  record_.in_scope = scope_.has_value();
  const oci::Hooks& hooks = bundle_.config.hooks;
  record_.is_plain = bundle_.config.process && hooks.poststart.empty() && hooks.poststop.empty();
  record_.id = options_.id;
  record_.oci_version = bundle_.config.oci_version;
  record_.bundle = bundle_.path;
  const std::string& root = bundle_.config.root_path;
  record_.rootfs = root.starts_with('/') ? root : cat(bundle_.path, "/", root);
  record_.cgroup = std::move(*cgroup);
  record_.created = time_text();
  record_.owner = ::geteuid();
  record_.annotations = bundle_.config.annotations;
  // Now: the container may close its own.
  for (int stream : {0, 1, 2}) record_.streams.push_back(name_of_stream(FdRef(stream)));
  if (auto s = folder_.write(record_); !s) return s;
  if (!callers_notify_socket().empty()) {
    if (auto s = make_notify_folder(folder_.dir()); !s) return s;
  }
  return folder_.make_fifos(record_.goes_on);
}

// Whom nobody lets make cgroups gets none, unless limits are wanted.
bool Making::can_do_without(const Error& why) const {
  if (!options_.is_rootless || bundle_.config.linux_.has_limits) return false;
  return why.is_privilege() || why.sys() == EROFS || !cgroups::Hierarchy::find();
}

Result<OwnFd> Making::prepare_cgroup() {
  auto made = make_cgroup(record_.cgroup);
  has_cgroup_ = made.has_value();
  auto claimed = made ? claim_cgroup(*made, record_.claim) : std::unexpected(std::move(made.error()));
  if (!claimed && can_do_without(claimed.error())) {
    has_cgroup_ = false;
    record_.cgroup.clear();
    record_.made_cgroup = false;
    if (!bundle_.config.linux_.cgroups_path.empty())
      log_.warning(cat("the container is made without a cgroup: ", claimed.error().message()));
    if (auto s = folder_.write(record_); !s) return std::unexpected(std::move(s.error()));
    return OwnFd();
  }
  if (!claimed && options_.is_rootless && bundle_.config.linux_.has_limits)
    return fail_with(std::move(claimed.error()), "linux.resources: limits need a cgroup");
  if (!claimed) return std::unexpected(std::move(claimed.error()));
  claimed_ = std::move(*claimed);
  auto s = apply_resources(*made, bundle_.config.linux_.resources);
  if (!s) return std::unexpected(std::move(s.error()));
  auto dir = duplicate(made->dir());
  if (!is_rootless()) unfiltered_.emplace(std::move(*made));
  return dir;
}

Status Making::complete() {
  if (unfiltered_) {
    if (auto s = filter_devices(*unfiltered_, bundle_.config.linux_); !s) return s;
    unfiltered_.reset();
  }
  if (auto s = folder_.write_config(bundle_.text); !s) return s;
  is_complete_ = true;
  return {};
}

Status Making::prepare_record(pid_t pid) {
  auto proc = sys::open_dir(sys::kCwd, "/proc");
  if (!proc) return std::unexpected(std::move(proc.error()));
  auto started = sys::start_time_of(*proc, pid);
  if (!started) return std::unexpected(std::move(started.error()));
  record_.pid = prepared_pid_ = pid;
  record_.start_time = *started;
  record_.is_creating = false;
  return folder_.prepare(record_);
}

std::string Making::state(pid_t pid, ContainerState state) {
  record_.pid = pid;
  return state_json(record_, state, false);
}

Status Making::run_runtime_hooks(pid_t pid) {
  has_run_hooks_ = true;
  // All is made by now: the specification's step 2 is over.
  std::string said = state(pid, ContainerState::kCreated);
  if (auto s = run_hooks_(HookKind::kPrestart, said); !s) return s;
  return run_hooks_(HookKind::kCreateRuntime, said);
}

Status Making::record_process(pid_t pid, FdRef pidfd) {
  auto process = duplicate(pidfd);
  if (!process) return std::unexpected(std::move(process.error()));
  process_ = std::move(*process);
  if (!is_complete_) return fail(Code::kInternal, "the container is not complete");
  // Where the launch took two processes, the second one is the container's.
  if (pid != prepared_pid_) {
    if (auto s = prepare_record(pid); !s) return s;
  }
  record_.pid = pid;
  if (!options_.pid_file.empty()) {
    if (auto s = replace_file(options_.pid_file, std::to_string(pid), 0644); !s)
      return fail_with(std::move(s.error()), "--pid-file");
  }
  if (auto s = folder_.put_in_place(); !s) return s;
  kept_.reset();
  claimed_.close();
  return {};
}

void Making::take_back() {
  if (process_.is_open()) (void)sys::pidfd_send_signal(process_, SIGKILL);
  if (has_cgroup_) {
    auto s = end_cgroup(record_.cgroup, record_.made_cgroup, record_.claim);
    if (!s) log_.warning(s.error().message());
  }
  if (has_run_hooks_) {
    auto s = run_hooks_(HookKind::kPoststop, state_json(record_, ContainerState::kStopped, false));
    if (!s) log_.warning(s.error().message());
  }
  if (auto s = folder_.remove(); !s) log_.warning(s.error().message());
}

Result<int> stay_to_its_end(Making& making, Foreground& foreground, LaunchedProcess process,
                            std::optional<NotifyProxy> notify, bool keeps, Log& log) {
  auto status = foreground.stay(std::move(process), std::move(notify), &log);
  if (keeps) return status ? Result<int>(status->code) : std::unexpected(status.error());
  ContainerFolder& folder = making.folder();
  if (auto s = folder.lock(); s) {
    s = forget_container(folder, {making.record(), ContainerState::kStopped, {}}, log, making.hooks());
    if (!s) log.warning(s.error().message());
  }
  if (!status) return std::unexpected(std::move(status.error()));
  return status->code;
}

}  // namespace gantry::cli
