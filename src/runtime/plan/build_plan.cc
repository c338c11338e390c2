// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/build_plan.h"

#include <linux/limits.h>

#include <algorithm>
#include <utility>

#include "runtime/plan/plan_parts.h"
#include "runtime/plan/text.h"

namespace gantry::runtime {
namespace {

constexpr std::size_t kMaxHostname = 64;  // HOST_NAME_MAX

void enter_users(const UsersSpec& users, NamespacePlan& namespaces) {
  namespaces.in_user = true;
  namespaces.root_uid = users.uid;
  namespaces.root_gid = users.gid;
}

NamespacePlan plan_namespaces(const ContainerSpec& spec) {
  NamespacePlan namespaces;
  if (spec.users) {
    enter_users(*spec.users, namespaces);
    namespaces.join_user = spec.users->space;
  }
  namespaces.new_pid = spec.namespaces.pid == PidMode::kContainer;
  bool joins = spec.namespaces.pid == PidMode::kPod || spec.namespaces.pid == PidMode::kTarget;
  if (joins) namespaces.join_pid = spec.namespaces.pid_of;
  // A privileged container sees the host's hierarchy, as it does with other runtimes.
  namespaces.new_cgroup = spec.namespaces.private_cgroup && !spec.privileged;
  namespaces.new_net = spec.namespaces.new_net;
  namespaces.new_ipc = spec.namespaces.new_ipc;
  namespaces.new_uts = spec.namespaces.new_uts;
  return namespaces;
}

Status check_sysctl(const SysctlPlan& sysctl) {
  bool is_path = !sysctl.path.empty() && sysctl.path[0] != '/' && sysctl.path.find("..") == std::string::npos &&
                 sysctl.path.find('\0') == std::string::npos;
  if (is_path && sysctl.value.find('\0') == std::string::npos) return {};
  return invalid_argument(
      cat("sysctl ", quoted(sysctl.path), " is malformed: a path such as net/ipv4/ip_forward was expected"));
}

Status check_fd(FdIndex index, std::size_t count, std::string_view what) {
  if (index == kNoFd || (index >= 0 && static_cast<std::size_t>(index) < count)) return {};
  return invalid_argument(cat(what, " names descriptor ", index, " of ", count));
}

Status check_fds(const Plan& plan, std::size_t count) {
  if (auto s = check_fd(plan.root.store, count, "root.store"); !s) return s;
  if (auto s = check_fd(plan.root.rootfs, count, "root.rootfs"); !s) return s;
  if (auto s = check_fd(plan.root.upper, count, "root.upper"); !s) return s;
  if (auto s = check_fd(plan.namespaces.join_user, count, "users.space"); !s) return s;
  if (auto s = check_fd(plan.namespaces.join_pid, count, "namespaces.pid_of"); !s) return s;
  for (const MountPlan& mount : plan.mounts) {
    if (auto s = check_fd(mount.source, count, cat("mount ", quoted(mount.target))); !s) return s;
  }
  return {};
}

}  // namespace

Result<FdIndex> FdList::add(OwnFd fd) {
  if (!fd.is_open()) return invalid_argument("a descriptor of a plan is not open");
  if (fds_.size() >= kMaxFds) {
    return fail(Code::kResourceExhausted,
                cat("a container needs more than ", kMaxFds, " descriptors: it has too many mounts"));
  }
  fds_.push_back(std::move(fd));
  return static_cast<FdIndex>(fds_.size() - 1);
}

Result<std::string> clean_path(std::string_view path, std::string_view what) {
  if (path.empty() || path[0] != '/') return invalid_argument(cat(what, " ", quoted(path), " is not an absolute path"));
  if (path.size() >= PATH_MAX || path.find('\0') != std::string_view::npos) {
    return invalid_argument(cat(what, " ", quoted(path), " has a NUL byte or ", PATH_MAX, " bytes or more"));
  }
  std::string out;
  while (!path.empty()) {
    std::string_view part = take_until(path, '/');
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      out.resize(out.empty() ? 0 : out.rfind('/'));
      continue;
    }
    out += '/';
    out += part;
  }
  return out.empty() ? "/" : out;
}

Status check_spec(const ContainerSpec& spec) {
  if (auto s = check_user(spec.user); !s) return s;
  for (const auto* list : {&spec.capabilities.add, &spec.capabilities.drop, &spec.capabilities.ambient}) {
    if (auto set = parse_capabilities(*list, 0); !set) return std::unexpected(std::move(set.error()));
  }
  if (spec.seccomp.kind == SeccompKind::kLocalhost && spec.seccomp.path.empty()) {
    return invalid_argument("seccomp: a localhost profile needs a path");
  }
  if (spec.hostname.size() > kMaxHostname ||
      spec.hostname.find_first_of(std::string_view("\0\n\r", 3)) != std::string::npos) {
    return invalid_argument(
        cat("hostname ", quoted(spec.hostname), " has a line end or more than ", kMaxHostname, " bytes"));
  }
  for (const SysctlPlan& sysctl : spec.sysctls) {
    if (auto s = check_sysctl(sysctl); !s) return s;
  }
  return check_mounts(spec);
}

Result<Plan> plan_container(const ContainerSpec& spec, const ImageProcess& image, const HostFacts& host,
                            const UserDatabase& users, SeccompCache& seccomp, const FdList& fds) {
  if (auto s = check_spec(spec); !s) return std::unexpected(std::move(s.error()));
  Plan plan;
  auto process = plan_process(spec, image, host, users, seccomp);
  if (!process) return std::unexpected(std::move(process.error()));
  plan.process = std::move(*process);
  plan.namespaces = plan_namespaces(spec);
  plan.root = spec.root;
  if (spec.namespaces.new_uts) plan.hostname = spec.hostname;
  plan.sysctls = spec.sysctls;
  if (auto s = plan_root(spec, host, plan); !s) return std::unexpected(std::move(s.error()));
  if (auto s = check_fds(plan, fds.size()); !s) return std::unexpected(std::move(s.error()));
  return plan;
}

Result<Plan> plan_exec(const ExecSpec& spec, const ProcessPlan& container) {
  if (spec.join_process < 0) return invalid_argument("exec: a process to join was expected");
  if (spec.args.empty() || spec.args[0].empty()) return invalid_argument("exec: the command is empty");
  Plan plan;
  plan.namespaces.join_process = spec.join_process;
  if (spec.users) {
    enter_users(*spec.users, plan.namespaces);
    plan.namespaces.join_process_user = true;
  }
  plan.process = container;
  ProcessPlan& process = plan.process;
  for (const std::string& argument : spec.args) {
    if (auto s = check_exec_string(argument, "exec: argument"); !s) return std::unexpected(std::move(s.error()));
  }
  process.args = spec.args;
  if (!spec.working_dir.empty()) {
    auto cwd = clean_path(spec.working_dir, "working directory");
    if (!cwd) return std::unexpected(std::move(cwd.error()));
    process.cwd = std::move(*cwd);
  }
  process.make_cwd = false;
  process.terminal = spec.terminal;
  process.rows = spec.rows;
  process.columns = spec.columns;
  if (auto s = merge_environment(process.env, spec.env, "exec: environment"); !s)
    return std::unexpected(std::move(s.error()));
  bool has_term = std::ranges::any_of(process.env, [](const std::string& entry) { return entry.starts_with("TERM="); });
  if (spec.terminal && !has_term) process.env.push_back("TERM=xterm");
  return plan;
}

}  // namespace gantry::runtime
