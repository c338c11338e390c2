// SPDX-License-Identifier: Apache-2.0
// The process of a container: what it runs and with what. As whom is in plan_credentials.cc. As users of Kubernetes
// with containerd and runc know it:
//  - command takes the place of the image's entrypoint and cmd, args alone of its cmd;
//  - the environment is PATH, TERM and HOSTNAME, then the image's, then the spec's, then HOME from passwd if nobody set
//  it.
#include <absl/container/flat_hash_map.h>
#include <linux/seccomp.h>

#include <algorithm>
#include <utility>

#include "runtime/plan/plan_parts.h"
#include "runtime/plan/text.h"

namespace gantry::runtime {
namespace {

constexpr std::string_view kDefaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr std::size_t kMaxExecString = 32 * 4096 - 1;  // MAX_ARG_STRLEN, less its NUL
constexpr std::int64_t kMinOomScoreAdj = -1000, kMaxOomScoreAdj = 1000;

Result<std::vector<std::string>> plan_args(const ContainerSpec& spec, const ImageProcess& image) {
  std::vector<std::string> args = spec.command.empty() ? image.entrypoint : spec.command;
  const auto& rest = spec.command.empty() && spec.args.empty() ? image.cmd : spec.args;
  args.insert(args.end(), rest.begin(), rest.end());
  if (args.empty() || args[0].empty()) {
    return invalid_argument("no command: neither the container nor its image says what to run");
  }
  for (const std::string& argument : args) {
    if (auto s = check_exec_string(argument, "argument"); !s) return std::unexpected(std::move(s.error()));
  }
  return args;
}

std::string_view value_of(const std::vector<std::string>& environment, std::string_view name) {
  for (const std::string& entry : environment) {
    if (entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=') {
      return std::string_view(entry).substr(name.size() + 1);
    }
  }
  return {};
}

Result<std::vector<std::string>> plan_environment(const ContainerSpec& spec, const ImageProcess& image,
                                                  std::string_view home) {
  std::vector<std::string> out = {std::string(kDefaultPath)};
  if (spec.terminal) out.push_back("TERM=xterm");
  if (!spec.hostname.empty()) out.push_back(cat("HOSTNAME=", spec.hostname));
  if (auto s = merge_environment(out, image.env, "the image's environment"); !s)
    return std::unexpected(std::move(s.error()));
  std::vector<std::string> own;
  own.reserve(spec.env.size());
  for (const auto& [name, value] : spec.env) {
    if (name.empty() || name.find('=') != std::string::npos) {
      return invalid_argument(cat("environment: name ", quoted(name), " is empty or has a '='"));
    }
    own.push_back(cat(name, "=", value));
  }
  if (auto s = merge_environment(out, own, "environment"); !s) return std::unexpected(std::move(s.error()));
  std::string_view given = value_of(out, "HOME");
  if (!given.empty()) {
    if (auto s = check_home(given, "environment"); !s) return std::unexpected(std::move(s.error()));
    return out;
  }
  if (auto s = check_home(home, "the image's /etc/passwd"); !s) return std::unexpected(std::move(s.error()));
  std::string entry = cat("HOME=", home.empty() ? "/" : home);
  if (auto s = merge_environment(out, {&entry, 1}, "environment"); !s) return std::unexpected(std::move(s.error()));
  return out;
}

Result<std::string> plan_cwd(const ContainerSpec& spec, const ImageProcess& image) {
  if (!spec.working_dir.empty()) return clean_path(spec.working_dir, "working directory");
  if (!image.working_dir.empty()) return clean_path(image.working_dir, "the image's working directory");
  return std::string("/");
}

Status plan_oom_score_adj(const ContainerSpec& spec, const HostFacts& host, ProcessPlan& process) {
  if (!spec.oom_score_adj) return {};
  std::int64_t wanted = *spec.oom_score_adj;
  if (wanted < kMinOomScoreAdj || wanted > kMaxOomScoreAdj) {
    return invalid_argument(
        cat("oom_score_adj ", wanted, " is out of range: ", kMinOomScoreAdj, " to ", kMaxOomScoreAdj, " was expected"));
  }
  if (wanted < host.oom_score_adj && !host.has_sys_resource) {
    if (!host.restrict_oom_score_adj) {
      return fail(Code::kFailedPrecondition, cat("oom_score_adj ", wanted, " is below this daemon's own ",
                                                 host.oom_score_adj, ", which takes CAP_SYS_RESOURCE"));
    }
    wanted = host.oom_score_adj;
  }
  process.oom_score_adj = static_cast<std::int32_t>(wanted);
  process.set_oom_score_adj = true;
  return {};
}

Result<SeccompPlan> plan_seccomp(const ContainerSpec& spec, CapabilitySet bounding, SeccompCache& cache) {
  if (spec.privileged) return SeccompPlan();
  switch (spec.seccomp.kind) {
    case SeccompKind::kUnconfined:
      return SeccompPlan();
    case SeccompKind::kRuntimeDefault:
      return cache.runtime_default(bounding);
    case SeccompKind::kLocalhost:
      break;
  }
  std::string where = cat("seccomp profile ", quoted(spec.seccomp.path));
  auto plan = cache.profile(spec.seccomp.profile, where, bounding);
  if (!plan || (plan->flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) == 0) return plan;
  return fail(Code::kUnimplemented, cat(where, ": action SCMP_ACT_NOTIFY needs an agent, which is not supported here"));
}

// The kernel would say no more than "invalid".
Status check_mapped(const ContainerSpec& spec, const ProcessPlan& process) {
  if (!spec.users) return {};
  auto check = [](std::uint32_t id, std::uint32_t count, std::string_view what) -> Status {
    if (id < count) return {};
    return invalid_argument(cat(what, " ", id, " is not in the pod's user namespace, whose ids are 0 to ", count - 1));
  };
  if (auto s = check(process.uid, spec.users->uids, "user"); !s) return s;
  for (std::uint32_t group : process.groups) {
    if (auto s = check(group, spec.users->gids, "group"); !s) return s;
  }
  return check(process.gid, spec.users->gids, "group");
}

}  // namespace

Status check_exec_string(std::string_view text, std::string_view what) {
  if (text.find('\0') != std::string_view::npos)
    return invalid_argument(cat(what, " ", quoted(text), " has a NUL byte inside"));
  if (text.size() <= kMaxExecString) return {};
  return invalid_argument(cat(what, " ", quoted(text), " has ", text.size(), " bytes: the kernel takes ",
                              kMaxExecString, " in one string"));
}

Status merge_environment(std::vector<std::string>& environment, std::span<const std::string> entries,
                         std::string_view what) {
  absl::flat_hash_map<std::string, std::size_t> places;
  for (std::size_t i = 0; i < environment.size(); ++i) places[environment[i].substr(0, environment[i].find('='))] = i;
  for (const std::string& entry : entries) {
    if (auto s = check_exec_string(entry, what); !s) return s;
    std::size_t equals = entry.find('=');
    if (equals == std::string::npos || equals == 0) {
      return invalid_argument(cat(what, ": ", quoted(entry), " is malformed: NAME=value was expected"));
    }
    auto [place, is_new] = places.try_emplace(entry.substr(0, equals), environment.size());
    if (is_new) {
      environment.push_back(entry);
    } else {
      environment[place->second] = entry;
    }
  }
  return {};
}

Result<ProcessPlan> plan_process(const ContainerSpec& spec, const ImageProcess& image, const HostFacts& host,
                                 const UserDatabase& users, SeccompCache& seccomp) {
  ProcessPlan process;
  auto user = resolve_container_user(spec.user, image, users);
  if (!user) return std::unexpected(std::move(user.error()));
  process.uid = user->uid;
  process.gid = user->gid;
  process.groups = std::move(user->groups);
  if (auto s = check_mapped(spec, process); !s) return std::unexpected(std::move(s.error()));
  auto args = plan_args(spec, image);
  if (!args) return std::unexpected(std::move(args.error()));
  process.args = std::move(*args);
  auto environment = plan_environment(spec, image, user->home);
  if (!environment) return std::unexpected(std::move(environment.error()));
  process.env = std::move(*environment);
  auto cwd = plan_cwd(spec, image);
  if (!cwd) return std::unexpected(std::move(cwd.error()));
  process.cwd = std::move(*cwd);
  process.make_cwd = true;
  auto capabilities = resolve_capabilities(spec, host);
  if (!capabilities) return std::unexpected(std::move(capabilities.error()));
  process.capabilities = *capabilities;
  auto limits = plan_rlimits(spec, host);
  if (!limits) return std::unexpected(std::move(limits.error()));
  process.rlimits = std::move(*limits);
  if (auto s = plan_oom_score_adj(spec, host, process); !s) return std::unexpected(std::move(s.error()));
  auto program = plan_seccomp(spec, process.capabilities.bounding, seccomp);
  if (!program) return std::unexpected(std::move(program.error()));
  process.seccomp = std::move(*program);
  process.apparmor_profile = spec.apparmor_profile;
  process.no_new_privileges = spec.no_new_privileges;
  process.schedule = spec.schedule;
  process.terminal = spec.terminal;
  process.rows = spec.rows;
  process.columns = spec.columns;
  return process;
}

}  // namespace gantry::runtime
