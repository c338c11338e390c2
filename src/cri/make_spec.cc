// SPDX-License-Identifier: Apache-2.0
#include "cri/make_spec.h"

#include <csignal>
#include <limits>

#include "cri/pod_users.h"
#include "cri/text.h"
#include "cri/validate.h"
#include "runtime/plan/signals.h"

namespace gantry::cri {
namespace {

std::vector<std::string> strings(const google::protobuf::RepeatedPtrField<std::string>& list) {
  return {list.begin(), list.end()};
}

runtime::UserSpec user_spec(const v1::LinuxContainerSecurityContext& security) {
  runtime::UserSpec user;
  if (security.has_run_as_user()) user.uid = security.run_as_user().value();
  if (security.has_run_as_group()) user.gid = security.run_as_group().value();
  user.name = security.run_as_username();
  user.supplemental_groups.assign(security.supplemental_groups().begin(), security.supplemental_groups().end());
  if (security.supplemental_groups_policy() == v1::Strict) user.groups_policy = runtime::GroupsPolicy::kStrict;
  return user;
}

runtime::SeccompSpec seccomp_spec(const v1::LinuxContainerSecurityContext& security) {
  // The CRI's rule: what is not given is not filtered. A profile that is there but empty is the default one.
  runtime::SeccompSpec seccomp;
  if (!security.has_seccomp() || security.privileged()) return seccomp;
  switch (security.seccomp().profile_type()) {
    case v1::SecurityProfile::RuntimeDefault:
      seccomp.kind = runtime::SeccompKind::kRuntimeDefault;
      break;
    case v1::SecurityProfile::Localhost:
      seccomp.kind = runtime::SeccompKind::kLocalhost;
      seccomp.path = security.seccomp().localhost_ref();
      break;
    default:
      break;
  }
  return seccomp;
}

runtime::PidMode pid_mode(v1::NamespaceMode container, v1::NamespaceMode pod) {
  switch (container) {
    case v1::CONTAINER:
      return runtime::PidMode::kContainer;
    case v1::NODE:
      return runtime::PidMode::kNode;
    case v1::TARGET:
      return runtime::PidMode::kTarget;
    default:
      return pod == v1::NODE ? runtime::PidMode::kNode : runtime::PidMode::kPod;
  }
}

}  // namespace

Result<runtime::ContainerSpec> make_spec(const v1::ContainerConfig& config, const v1::PodSandboxConfig& pod,
                                         const cdi::Edits& edits, const Extras& extras) {
  const auto& security = config.linux().security_context();
  runtime::ContainerSpec spec;
  spec.root.read_only = security.readonly_rootfs();
  spec.command = strings(config.command());
  spec.args = strings(config.args());
  for (const auto& env : config.envs()) spec.env.emplace_back(env.key(), env.value());
  for (const auto& entry : edits.env) {
    auto equals = entry.find('=');
    spec.env.emplace_back(entry.substr(0, equals), entry.substr(equals + 1));
  }
  spec.working_dir = config.working_dir();
  spec.user = user_spec(security);
  spec.user.supplemental_groups.insert(spec.user.supplemental_groups.end(), edits.groups.begin(), edits.groups.end());
  spec.privileged = security.privileged();
  spec.capabilities.add = strings(security.capabilities().add_capabilities());
  spec.capabilities.drop = strings(security.capabilities().drop_capabilities());
  spec.capabilities.ambient = strings(security.capabilities().add_ambient_capabilities());
  spec.seccomp = seccomp_spec(security);
  if (!extras.seccomp_profile.empty()) {
    spec.seccomp = {.kind = runtime::SeccompKind::kLocalhost, .profile = extras.seccomp_profile, .path = "of a plugin"};
  }
  spec.rlimits = extras.rlimits;
  spec.sysctls = extras.sysctls;
  spec.schedule = extras.schedule;
  spec.no_new_privileges = security.no_new_privs();
  // The wire can't tell an empty list from none, and Kubernetes' procMount Unmasked is the empty one: what is given is
  // all.
  spec.masked_paths = strings(security.masked_paths());
  spec.read_only_paths = strings(security.readonly_paths());
  if (config.linux().has_resources()) spec.oom_score_adj = config.linux().resources().oom_score_adj();
  spec.terminal = config.tty();
  spec.namespaces.pid =
      pid_mode(security.namespace_options().pid(), pod.linux().security_context().namespace_options().pid());
  spec.namespaces.private_cgroup = !spec.privileged;
  spec.users = users_spec(pod.linux().security_context().namespace_options());
  spec.hostname = pod.hostname();
  return spec;
}

runtime::ImageProcess image_process(const images::ImageConfig& config) {
  return {.entrypoint = config.entrypoint,
          .cmd = config.cmd,
          .env = config.env,
          .user = config.user,
          .working_dir = config.working_dir,
          .stop_signal = config.stop_signal};
}

v1::LinuxContainerResources pod_resources(const v1::LinuxPodSandboxConfig& config) {
  v1::LinuxContainerResources sum = config.resources();
  const v1::LinuxContainerResources& more = config.overhead();
  // Both were validated, and either may be as large as a number can be.
  const auto add = [](std::int64_t one, std::int64_t other) {
    std::int64_t both = 0;
    return __builtin_add_overflow(one, other, &both) ? std::numeric_limits<std::int64_t>::max() : both;
  };
  // What is not limited stays so.
  if (sum.cpu_shares() > 0 && more.cpu_shares() > 0) sum.set_cpu_shares(add(sum.cpu_shares(), more.cpu_shares()));
  if (sum.cpu_quota() > 0 && more.cpu_quota() > 0 && sum.cpu_period() == more.cpu_period()) {
    sum.set_cpu_quota(add(sum.cpu_quota(), more.cpu_quota()));
  }
  if (sum.memory_limit_in_bytes() > 0 && more.memory_limit_in_bytes() > 0) {
    sum.set_memory_limit_in_bytes(add(sum.memory_limit_in_bytes(), more.memory_limit_in_bytes()));
  }
  return sum;
}

Result<cgroups::Resources> make_resources(const v1::LinuxContainerResources& from) {
  for (auto [value, field] : {std::pair{from.cpu_shares(), "cpu_shares"}, std::pair{from.cpu_period(), "cpu_period"}}) {
    if (value < 0) return invalid_argument(cat("resources.", field, " ", value, ": give 0 (not set) or more"));
  }
  cgroups::Resources resources;
  resources.cpu.shares = static_cast<std::uint64_t>(from.cpu_shares());
  resources.cpu.period = static_cast<std::uint64_t>(from.cpu_period());
  resources.cpu.quota = from.cpu_quota();
  resources.cpuset.cpus = from.cpuset_cpus();
  resources.cpuset.mems = from.cpuset_mems();
  resources.memory.limit = from.memory_limit_in_bytes();
  resources.memory.swap_total = from.memory_swap_limit_in_bytes();
  for (const auto& limit : from.hugepage_limits()) {
    resources.hugepages.push_back({limit.page_size(), limit.limit()});
  }
  for (const auto& [file, value] : from.unified()) resources.unified.emplace(file, value);
  if (auto good = cgroups::validate(resources); !good) return fail_with(std::move(good.error()), "resources");
  return resources;
}

std::string signal_text(v1::Signal signal) {
  std::string name(without_prefix(v1::Signal_Name(signal), "SIGNAL_"));
  return replaced(replaced(name, "PLUS", "+"), "MINUS", "-");
}

v1::Signal signal_value(int signal) {
  // The CRI's names go up from SIGRTMIN to +15 and down from SIGRTMAX to -14.
  constexpr int kLastFromBelow = 49, kLast = 64;
  std::string name = signal == kLast           ? "SIGRTMAX"
                     : signal > kLastFromBelow ? cat("SIGRTMAXMINUS", kLast - signal)
                                               : replaced(runtime::signal_name(signal), "+", "PLUS");
  v1::Signal value = v1::SIGNAL_RUNTIME_DEFAULT;
  v1::Signal_Parse(cat("SIGNAL_", name), &value);
  return value;
}

Result<int> stop_signal(const v1::ContainerConfig& config, const runtime::ImageProcess& image) {
  if (config.stop_signal() != v1::SIGNAL_RUNTIME_DEFAULT) {
    if (!v1::Signal_IsValid(config.stop_signal())) {
      return invalid_argument(cat("stop_signal ", static_cast<int>(config.stop_signal()), ": no such value"));
    }
    auto signal = runtime::parse_signal(signal_text(config.stop_signal()));
    if (!signal) return fail_with(std::move(signal.error()), "stop_signal");
    return signal;
  }
  if (image.stop_signal.empty()) return SIGTERM;
  auto signal = runtime::parse_signal(image.stop_signal);
  if (!signal) return fail_with(std::move(signal.error()), "the image's StopSignal");
  return signal;
}

}  // namespace gantry::cri
