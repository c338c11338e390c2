// SPDX-License-Identifier: Apache-2.0
// A seccomp profile in docker's or OCI's JSON: a program that comes of it is one that the kernel takes, and it decides
// about calls as the profile says.
#include "runtime/plan/seccomp_profile.h"

#include <algorithm>

#include "runtime/plan/seccomp_run_for_test.h"
#include "tests/fuzz/fuzz.h"

namespace runtime = gantry::runtime;
using gantry::fuzz::expect;
using gantry::fuzz::expect_sentence;

namespace {

bool holds(const scmp_arg_cmp& condition, const seccomp_data& data) {
  std::uint64_t value = data.args[condition.arg], with = condition.datum_a;
  switch (condition.op) {
    case SCMP_CMP_NE:
      return value != with;
    case SCMP_CMP_LT:
      return value < with;
    case SCMP_CMP_LE:
      return value <= with;
    case SCMP_CMP_EQ:
      return value == with;
    case SCMP_CMP_GE:
      return value >= with;
    case SCMP_CMP_GT:
      return value > with;
    case SCMP_CMP_MASKED_EQ:
      return (value & with) == (condition.datum_b & with);
    default:
      return false;
  }
}

// The first rule that holds, on the native architecture; nothing for a call that no rule names.
bool decide(const runtime::SeccompProfile& profile, const seccomp_data& data, std::uint32_t& action) {
  bool is_named = false;
  for (const auto& rule : profile.rules) {
    if (seccomp_syscall_resolve_name(rule.name.c_str()) != data.nr) continue;
    is_named = true;
    if (!std::ranges::all_of(rule.conditions, [&](const auto& condition) { return holds(condition, data); })) continue;
    action = rule.action;
    return true;
  }
  action = profile.default_action;
  return is_named;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  std::string_view text = gantry::fuzz::text_of(bytes, size);
  auto bounding = runtime::capabilities_up_to(static_cast<int>(size % 40));
  auto profile = runtime::parse_seccomp_profile(text, bounding);
  if (!profile) {
    expect_sentence(profile.error());
    return 0;
  }
  expect(profile->rules.size() <= runtime::kMaxSeccompRules, "rules are bounded");
  auto plan = runtime::compile_seccomp(*profile);
  if (!plan) {
    expect_sentence(plan.error());
    return 0;
  }
  expect(plan->program.size() % sizeof(sock_filter) == 0, "whole instructions");
  if (plan->program.empty()) return 0;
  expect(plan->program.size() / sizeof(sock_filter) <= BPF_MAXINSNS, "as long as the kernel takes at most");
  // Calls that the profile names, with arguments on both sides of what it compares with.
  std::size_t tried = 0;
  for (const auto& rule : profile->rules) {
    int number = seccomp_syscall_resolve_name(rule.name.c_str());
    if (number < 0 || ++tried > 64) continue;
    for (int step : {-1, 0, 1}) {
      seccomp_data data{.nr = number, .arch = AUDIT_ARCH_X86_64, .instruction_pointer = 0, .args = {}};
      for (const auto& condition : rule.conditions) {
        bool is_masked = condition.op == SCMP_CMP_MASKED_EQ;
        data.args[condition.arg] =
            (is_masked ? condition.datum_b : condition.datum_a) + static_cast<std::uint64_t>(static_cast<long>(step));
      }
      std::uint32_t wanted = 0;
      if (decide(*profile, data, wanted))
        expect(runtime::run_seccomp(plan->program, data) == wanted, "the program decides as the profile says");
    }
  }
  return 0;
}
