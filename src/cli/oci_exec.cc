// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_exec.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/text.h"
#include "cli/oci_cgroup.h"
#include "cli/oci_container.h"
#include "cli/oci_create.h"
#include "cli/oci_foreground.h"
#include "cli/oci_seccomp.h"
#include "cli/oci_user.h"
#include "runtime/oci/oci_plan.h"
#include "runtime/plan/text.h"
#include "runtime/plan/users.h"
#include "sys/file.h"
#include "sys/process.h"

namespace gantry::cli {
namespace {

namespace oci = runtime::oci;

// "uid" or "uid:gid", and nothing else: never 0 for what does not parse.
Status take_user(std::string_view text, oci::User& user) {
  if (text.empty()) return {};
  std::string_view rest = text;
  bool has_group = text.find(':') != std::string_view::npos;
  std::string_view uid = runtime::take_until(rest, ':');
  auto number = [&](std::string_view digits, std::uint32_t& out) -> Status {
    auto id = runtime::parse_number<std::int64_t>(digits);
    auto checked = id ? runtime::checked_id(*id, "--user") : Result<std::uint32_t>(invalid_argument(""));
    if (!checked) return invalid_argument(cat("--user ", quoted(text), " is wrong: UID or UID:GID was expected"));
    out = *checked;
    return {};
  };
  if (auto s = number(uid, user.uid); !s) return s;
  return has_group ? number(rest, user.gid) : Status();
}

Result<oci::Process> read_process_file(const std::string& path) {
  auto file = sys::openat(sys::kCwd, path.c_str(), O_RDONLY);
  auto text = file ? sys::read_all(*file, oci::kMaxConfigBytes) : Result<std::string>(std::unexpected(file.error()));
  if (!text) return fail_with(std::move(text.error()), cat("--process ", path));
  auto process = oci::parse_process(*text);
  if (!process) return fail_with(std::move(process.error()), cat("--process ", path));
  return process;
}

Result<oci::Process> wanted_process(const oci::Config& config, const ExecOptions& options) {
  if (!options.process_file.empty()) return read_process_file(options.process_file);
  oci::Process process = config.process ? *config.process : oci::idle_process();
  if (options.args.empty()) return invalid_argument("exec: a command, or --process, was expected");
  process.args = options.args;
  process.env.insert(process.env.end(), options.env.begin(), options.env.end());
  if (!options.cwd.empty()) process.cwd = options.cwd;
  if (!options.apparmor.empty()) process.apparmor_profile = options.apparmor;
  if (!options.label.empty()) process.selinux_label = options.label;
  process.terminal = options.terminal;
  process.rows = process.columns = 0;
  if (options.no_new_privileges) process.no_new_privileges = true;
  if (auto s = take_user(options.user, process.user); !s) return std::unexpected(std::move(s.error()));
  auto& groups = process.user.additional_gids;
  groups.insert(groups.end(), options.additional_gids.begin(), options.additional_gids.end());
  // Never inheritable: a program of another user would have it from its file.
  for (auto* set : {&process.capabilities.bounding, &process.capabilities.permitted, &process.capabilities.effective})
    set->insert(set->end(), options.capabilities.begin(), options.capabilities.end());
  return process;
}

// Of a container without a mount namespace of its own, the root is its process's alone.
Status add_root(const oci::Config& config, const LiveContainer& live, Launch& launch) {
  if (config.linux_.of(oci::NamespaceKind::kMount).is_new()) return {};
  auto root = sys::open_dir(sys::kCwd, cat("/proc/", live.record.pid, "/root").c_str());
  // The number is the process's for as long as that lives.
  if (!root || !sys::pidfd_send_signal(live.pidfd, 0))
    return fail(Code::kFailedPrecondition, "the container has ended");
  launch.hooks.joined_root = *root;
  launch.fds.push_back(std::move(*root));
  return {};
}

Result<Launch> make_launch(const std::string& root, ContainerFolder& folder, LiveContainer& live,
                           const ExecOptions& options, Log& log) {
  auto config = folder.read_config();
  if (!config) return std::unexpected(std::move(config.error()));
  auto process = wanted_process(*config, options);
  if (!process) return std::unexpected(std::move(process.error()));
  if (auto s = check_console(process->terminal, !options.detaches, options.console_socket); !s)
    return std::unexpected(std::move(s.error()));
  auto host = runtime::read_launch_facts();
  if (!host) return std::unexpected(std::move(host.error()));
  SeccompFolder kept(root);
  runtime::SeccompCache seccomp(1, &kept);
  auto planned = oci::plan_exec_process(*config, *process, *host, seccomp);
  if (!planned) return std::unexpected(std::move(planned.error()));
  for (const std::string& warning : planned->warnings) log.warning(warning);
  // Of this process, which has nothing else to do: the clone has it from birth.
  const std::string& cpus = process->initial_cpus;
  if (!cpus.empty() && ::syscall(SYS_sched_setaffinity, 0, cpus.size(), cpus.data()) < 0)
    return std::unexpected(Error::from_errno(errno, "process.execCPUAffinity.initial: sched_setaffinity"));
  Launch launch;
  launch.plan = std::move(planned->plan);
  launch.plan.process.preserved_fds = options.preserve_fds;
  auto shared = shared_namespaces(live.record.pid);
  if (!shared && shared.error().is_privilege() && live.state == ContainerState::kCreated) {
    // Until then it is a copy of this program, which shows itself to root of the host alone.
    return fail(Code::kPermissionDenied,
                cat("container ", options.id, " is created: who is not root can execute in it once it is started"));
  }
  if (!shared) return std::unexpected(std::move(shared.error()));
  launch.hooks.shared = *shared;
  launch.plan.namespaces.join_process_user = !sys::has(*shared, sys::CloneFlag::kNewUser);
  // Asked, not read: a restored container has a time namespace that its configuration need not have.
  launch.plan.namespaces.join_process_time = !sys::has(*shared, sys::CloneFlag::kNewTime);
  if (!live.record.cgroup.empty()) {
    auto cgroup = cgroup_of(live.record.pid);
    if (!cgroup) return std::unexpected(std::move(cgroup.error()));
    auto dir = duplicate(cgroup->dir());
    if (!dir) return std::unexpected(std::move(dir.error()));
    launch.cgroup = std::move(*dir);
  }
  auto s = add_root(*config, live, launch);
  if (!s) return std::unexpected(std::move(s.error()));
  // The plan's descriptor 0.
  launch.fds.insert(launch.fds.begin(), std::move(live.pidfd));
  std::string state = state_json(live.record, live.state, false);
  launch.state = [state = std::move(state)](pid_t) { return state; };
  return launch;
}

}  // namespace

Result<int> exec_in_container(const std::string& root, const ExecOptions& options, Log& log) {
  auto folder = ContainerFolder::open(root, options.id);
  if (!folder) return std::unexpected(std::move(folder.error()));
  auto live = look_at(*folder, false);
  if (!live) return std::unexpected(std::move(live.error()));
  bool is_paused = live->state == ContainerState::kPaused && !options.ignores_paused;
  if (is_paused || !live->pidfd.is_open()) {
    return fail(Code::kFailedPrecondition,
                cat("container ", options.id, " is ", to_string(live->state), ": nothing can be executed in it"));
  }
  auto launch = make_launch(root, *folder, *live, options, log);
  if (!launch) return std::unexpected(std::move(launch.error()));
  Foreground foreground;
  if (!options.detaches) {
    auto made = Foreground::make();
    if (!made) return std::unexpected(std::move(made.error()));
    foreground = std::move(*made);
  }
  auto process = carry_out(std::move(*launch), {}, options.console_socket);
  if (!process) return std::unexpected(std::move(process.error()));
  if (!options.pid_file.empty()) {
    if (auto s = replace_file(options.pid_file, std::to_string(process->pid), 0644); !s) {
      (void)sys::pidfd_send_signal(process->pidfd, SIGKILL);
      return fail_with(std::move(s.error()), "--pid-file");
    }
  }
  if (options.detaches) return 0;
  auto status = foreground.stay(std::move(*process));
  if (!status) return std::unexpected(std::move(status.error()));
  return status->code;
}

}  // namespace gantry::cli
