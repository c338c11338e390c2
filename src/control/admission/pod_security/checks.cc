// SPDX-License-Identifier: Apache-2.0
#include "control/admission/pod_security/checks.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "control/admission/pod_security/check.h"

namespace gantry::control {

namespace pod_security {

namespace {

constexpr int kForever = PodSecurityVersion::kLatest;

// The releases 1.`from` to 1.`until`, both inclusive, in which the rule holds for a level; 1 to 0: never.
struct Releases {
  int from = 1;
  int until = 0;
  bool contains(int minor) const { return from <= minor && minor <= until; }
};
constexpr Releases since(int minor) { return {minor, kForever}; }
constexpr Releases between(int from, int until) { return {from, until}; }
constexpr Releases kNever{};

struct Rule {
  CheckPod check;
  Releases baseline;
  // A stricter rule of this level may stand in for one of the other.
  Releases restricted;
};

// In the order of upstream's messages.
constexpr std::array kRules = {
    Rule{check_app_armor, since(0), since(0)},
    Rule{check_added_capabilities, since(0), between(0, 21)},
    Rule{check_host_namespaces, since(0), since(0)},
    Rule{check_host_paths, since(0), kNever},
    Rule{check_host_ports, since(0), since(0)},
    Rule{check_probed_hosts, since(34), since(34)},
    Rule{check_privileged, since(0), since(0)},
    Rule{check_proc_mount, between(0, 34), between(0, 34)},
    Rule{check_proc_mount_on_host, since(35), kNever},
    Rule{check_se_linux, between(0, 30), between(0, 30)},
    Rule{check_se_linux_1_31, since(31), since(31)},
    Rule{check_seccomp_annotations, between(0, 18), between(0, 18)},
    Rule{check_seccomp, since(19), kNever},
    Rule{check_sysctls, between(0, 26), between(0, 26)},
    Rule{check_sysctls_1_27, between(27, 28), between(27, 28)},
    Rule{check_sysctls_1_29, between(29, 31), between(29, 31)},
    Rule{check_sysctls_1_32, between(32, 36), between(32, 36)},
    Rule{check_sysctls_1_37, since(37), since(37)},
    Rule{check_windows_host_process, since(0), since(0)},
    Rule{check_escalation, kNever, between(8, 24)},
    Rule{check_escalation_1_25, kNever, since(25)},
    Rule{check_capabilities, kNever, between(22, 24)},
    Rule{check_capabilities_1_25, kNever, since(25)},
    Rule{check_proc_mount, kNever, since(35)},
    Rule{check_volumes, kNever, since(0)},
    Rule{check_non_root, kNever, between(0, 34)},
    Rule{check_non_root_1_35, kNever, since(35)},
    Rule{check_user, kNever, between(23, 34)},
    Rule{check_user_1_35, kNever, since(35)},
    Rule{check_seccomp_set, kNever, between(19, 24)},
    Rule{check_seccomp_set_1_25, kNever, since(25)},
};

template <typename C>
ContainerView view_of(const C& c) {
  return {c.name(),          c.security_context(), c.ports(), c.liveness_probe(), c.readiness_probe(),
          c.startup_probe(), c.lifecycle()};
}

template <typename List>
std::string quote_list(const List& list) {
  std::string out;
  for (const std::string& word : list) out += cat(out.empty() ? "\"" : ", \"", word, "\"");
  return out;
}

}  // namespace

PodView::PodView(const ObjectMeta& m, const core::PodSpec& s) : metadata(m), spec(s), security(s.security_context()) {
  for (const core::Container& container : spec.init_containers()) containers.push_back(view_of(container));
  for (const core::Container& container : spec.containers()) containers.push_back(view_of(container));
  for (const core::EphemeralContainer& container : spec.ephemeral_containers()) {
    containers.push_back(view_of(container.ephemeral_container_common()));
  }
}

std::string quote_all(const Names& names) { return quote_list(names); }
std::string quote_all(const Words& words) { return quote_list(words); }

std::string_view one_or_many(std::string_view one, std::string_view many, std::size_t count) {
  return count == 1 ? one : many;
}

std::string containers(const Names& names) {
  return cat(one_or_many("container", "containers", names.size()), " ", quote_all(names));
}

std::string setters(bool is_pod, const Names& names) {
  return cat(is_pod ? "pod" : "", is_pod && !names.empty() ? " and " : "", names.empty() ? "" : containers(names));
}

}  // namespace pod_security

std::vector<PodSecurityViolation> check_pod_security(const PodSecurityStandard& standard,
                                                     const pod_security::ObjectMeta& metadata,
                                                     const pod_security::core::PodSpec& spec) {
  std::vector<PodSecurityViolation> violations;
  if (standard.level == PodSecurityLevel::kPrivileged) return violations;
  const pod_security::PodView pod(metadata, spec);
  for (const pod_security::Rule& rule : pod_security::kRules) {
    const bool is_baseline = standard.level == PodSecurityLevel::kBaseline;
    if (!(is_baseline ? rule.baseline : rule.restricted).contains(standard.version.minor)) continue;
    if (pod_security::Finding found = rule.check(pod)) violations.push_back(std::move(*found));
  }
  return violations;
}

std::string reasons_of(const std::vector<PodSecurityViolation>& violations) {
  std::string out;
  for (const PodSecurityViolation& violation : violations) out += cat(out.empty() ? "" : ", ", violation.reason);
  return out;
}

std::string details_of(const std::vector<PodSecurityViolation>& violations) {
  std::string out;
  for (const PodSecurityViolation& violation : violations) {
    out += cat(out.empty() ? "" : ", ", violation.reason, " (", violation.detail, ")");
  }
  return out;
}

}  // namespace gantry::control
