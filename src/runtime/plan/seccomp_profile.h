// SPDX-License-Identifier: Apache-2.0
// A seccomp profile between its source (the table in seccomp_default.cc, or a JSON text) and its program. Private to
// this folder; users take seccomp.h.
#pragma once

#include <seccomp.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runtime/plan/capabilities.h"
#include "runtime/plan/plan.h"

namespace gantry::runtime {

// One system call, and all of its conditions hold: `action` (SCMP_ACT_*, whose values are the kernel's SECCOMP_RET_*).
// Of several rules for one call the first that holds counts.
struct SeccompRule {
  std::string name;
  std::uint32_t action = SCMP_ACT_ALLOW;
  std::vector<scmp_arg_cmp> conditions;  // at most one for each argument
};

struct SeccompProfile {
  std::uint32_t default_action = SCMP_ACT_ERRNO(1);
  std::vector<std::uint32_t> architectures;  // SCMP_ARCH_*, beside the native one
  std::uint32_t flags = 0;                   // SECCOMP_FILTER_FLAG_*
  std::vector<SeccompRule> rules;            // names that nobody knows are left out by the compiler
  SeccompAgent agent;                        // with SECCOMP_FILTER_FLAG_NEW_LISTENER
};

// Many times what any real profile has.
inline constexpr std::size_t kMaxSeccompRules = 8192;

// The architectures that this machine runs beside its native one, and its name in docker's profiles ("amd64").
std::vector<std::uint32_t> compatible_architectures();
std::string_view native_architecture_name();

// kAllowList: without a rule that denies what a later one allows.
enum class SeccompForm : std::uint8_t { kOurs, kAllowList };
SeccompProfile default_seccomp_profile(CapabilitySet bounding, SeccompForm form = SeccompForm::kOurs);
Result<SeccompProfile> parse_seccomp_profile(std::string_view json, CapabilitySet bounding);
Result<SeccompPlan> compile_seccomp(const SeccompProfile& profile);

}  // namespace gantry::runtime
