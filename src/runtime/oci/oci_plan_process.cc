// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/text.h"
#include "runtime/oci/oci_plan.h"
#include "runtime/plan/capabilities.h"
#include "runtime/plan/plan_parts.h"
#include "runtime/plan/seccomp.h"

namespace gantry::runtime::oci {
namespace {

// What can't be granted is said, and not refused: the specification wants it so.
CapabilitySet capabilities_of(const std::vector<std::string>& names, CapabilitySet host, std::string_view field,
                              std::vector<std::string>& warnings) {
  CapabilitySet set = 0;
  for (const std::string& name : names) {
    auto number = capability_number(name);
    bool is_known = number && name.starts_with("CAP_");
    if (is_known && (host & capability_bit(*number)) != 0) {
      set |= capability_bit(*number);
      continue;
    }
    warnings.push_back(cat("process.capabilities.", field, ": ", quoted(name),
                           is_known ? " can't be granted here: it is left out" : " is unknown: it is left out"));
  }
  return set;
}

Result<CapabilityPlan> plan_capabilities(const Capabilities& from, CapabilitySet available,
                                         std::vector<std::string>& warnings) {
  CapabilityPlan plan;
  plan.bounding = capabilities_of(from.bounding, available, "bounding", warnings);
  plan.permitted = capabilities_of(from.permitted, available, "permitted", warnings);
  plan.effective = capabilities_of(from.effective, available, "effective", warnings);
  plan.inheritable = capabilities_of(from.inheritable, available, "inheritable", warnings);
  plan.ambient = capabilities_of(from.ambient, available, "ambient", warnings);
  auto refuse = [](CapabilitySet extra, std::string_view field, std::string_view lacks) {
    return invalid_argument(cat("process.capabilities.", field, ": ", to_string_capabilities(extra),
                                ": the kernel gives it only with ", lacks));
  };
  if (CapabilitySet extra = plan.effective & ~plan.permitted; extra != 0)
    return refuse(extra, "effective", "the same in permitted");
  if (CapabilitySet extra = plan.ambient & ~(plan.permitted & plan.inheritable); extra != 0) {
    // Told and left out, as what the kernel can't grant.
    warnings.push_back(cat("process.capabilities.ambient: ", to_string_capabilities(extra),
                           " is not in permitted and inheritable: it is left out"));
    plan.ambient &= ~extra;
  }
  return plan;
}

Result<std::vector<RlimitPlan>> plan_limits(const std::vector<Rlimit>& limits, HostFacts host) {
  ContainerSpec spec;
  for (const Rlimit& limit : limits) spec.rlimits.push_back({limit.type, limit.soft, limit.hard});
  host.soft_open_files.reset();  // the container has the limits of who starts it, but for those that are given
  auto plan = plan_rlimits(spec, host);
  if (!plan) return fail_with(std::move(plan.error()), "process.rlimits");
  return plan;
}

// In a new user namespace ids that are not mapped are nobody's, and the kernel says no more than "invalid".
Status check_ids(const IdMappings& ids, const User& user) {
  auto check = [](const std::vector<IdMapping>& mappings, std::uint32_t id, std::string_view field,
                  std::string_view by) -> Status {
    if (host_id(mappings, id)) return {};
    return invalid_argument(cat("process.user.", field, ": ", id, " is not mapped by linux.", by));
  };
  if (auto s = check(ids.uids, user.uid, "uid", "uidMappings"); !s) return s;
  if (auto s = check(ids.gids, user.gid, "gid", "gidMappings"); !s) return s;
  for (std::uint32_t group : user.additional_gids) {
    if (auto s = check(ids.gids, group, "additionalGids", "gidMappings"); !s) return s;
  }
  return {};
}

}  // namespace

Status plan_process_of(const Config& config, const Process& process, const HostFacts& host, SeccompCache& seccomp,
                       PlannedContainer& out) {
  ProcessPlan& plan = out.plan.process;
  for (const std::string& argument : process.args) {
    if (auto s = check_exec_string(argument, "process.args:"); !s) return s;
  }
  for (const std::string& entry : process.env) {
    if (auto s = check_exec_string(entry, "process.env:"); !s) return s;
  }
  plan.args = process.args;
  plan.env = process.env;
  auto cwd = clean_path(process.cwd, "process.cwd:");
  if (!cwd) return std::unexpected(std::move(cwd.error()));
  plan.cwd = std::move(*cwd);
  plan.make_cwd = true;
  plan.uid = process.user.uid;
  plan.gid = process.user.gid;
  plan.groups = process.user.additional_gids;
  plan.umask = process.user.umask.value_or(022);
  const Namespace& user = config.linux_.of(NamespaceKind::kUser);
  if (user.is_new()) {
    if (auto s = check_ids(config.linux_.ids, process.user); !s) return s;
  }
  // Who comes into a user namespace has all of them there.
  CapabilitySet available = user.is_listed ? capabilities_up_to(kLastNamedCapability) : host.capabilities;
  auto capabilities = plan_capabilities(process.capabilities, available, out.warnings);
  if (!capabilities) return std::unexpected(std::move(capabilities.error()));
  plan.capabilities = *capabilities;
  auto limits = plan_limits(process.rlimits, host);
  if (!limits) return std::unexpected(std::move(limits.error()));
  plan.rlimits = std::move(*limits);
  plan.no_new_privileges = process.no_new_privileges;
  if (!process.apparmor_profile.empty() && !host.has_apparmor) {
    return invalid_argument(cat("process.apparmorProfile: ", quoted(process.apparmor_profile),
                                " can't be taken on: this host has no AppArmor"));
  }
  plan.apparmor_profile = process.apparmor_profile;
  if (!process.selinux_label.empty() && !host.has_selinux) {
    return invalid_argument(
        cat("process.selinuxLabel: ", quoted(process.selinux_label), " can't be taken on: this host has no SELinux"));
  }
  plan.selinux_label = process.selinux_label;
  plan.terminal = process.terminal;
  plan.rows = process.rows;
  plan.columns = process.columns;
  plan.set_oom_score_adj = process.oom_score_adj.has_value();
  plan.oom_score_adj = process.oom_score_adj.value_or(0);
  plan.schedule = process.schedule;
  plan.set_personality = config.linux_.personality.has_value();
  plan.personality = config.linux_.personality.value_or(0);
  if (config.linux_.seccomp.empty()) return {};
  auto program = seccomp.profile(config.linux_.seccomp, "linux.seccomp", plan.capabilities.bounding);
  if (!program) return std::unexpected(std::move(program.error()));
  plan.seccomp = std::move(*program);
  return {};
}

}  // namespace gantry::runtime::oci
