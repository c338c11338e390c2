// SPDX-License-Identifier: Apache-2.0
#include "agent/pull_verification.h"

#include <algorithm>

#include "base/text.h"
#include "images/reference.h"

namespace gantry::agent {

namespace {

// "registry.example/team/*": all that begins with what is before the star.
bool is_path(std::string_view pattern) { return pattern.ends_with("/*"); }

struct Named {
  VerificationPolicy policy;
  std::string_view name;
};
constexpr Named kPolicies[] = {{VerificationPolicy::kNever, "NeverVerify"},
                               {VerificationPolicy::kNotOfPreloaded, "NeverVerifyPreloadedImages"},
                               {VerificationPolicy::kNotOfListed, "NeverVerifyAllowlistedImages"},
                               {VerificationPolicy::kAlways, "AlwaysVerify"}};

}  // namespace

std::string_view to_string(VerificationPolicy policy) {
  return std::ranges::find(kPolicies, policy, &Named::policy)->name;
}

Result<VerificationPolicy> parse_verification(std::string_view name) {
  const auto* found = std::ranges::find(kPolicies, name, &Named::name);
  if (found != std::end(kPolicies)) return found->policy;
  return invalid_argument(
      "NeverVerify, NeverVerifyPreloadedImages, NeverVerifyAllowlistedImages or AlwaysVerify was expected");
}

bool PullVerification::asks_for(std::string_view name, bool pulled_here) const {
  switch (policy) {
    case VerificationPolicy::kNever:
      return false;
    case VerificationPolicy::kNotOfPreloaded:
      return pulled_here;
    case VerificationPolicy::kNotOfListed:
      return std::ranges::none_of(listed, [name](std::string_view pattern) {
        return is_path(pattern) ? name.starts_with(pattern.substr(0, pattern.size() - 1)) : name == pattern;
      });
    case VerificationPolicy::kAlways:
      break;
  }
  return true;
}

Status check_listed(std::string_view pattern) {
  if (is_path(pattern)) {
    const std::string_view path = pattern.substr(0, pattern.size() - 2);
    if (!path.empty() && path.find_first_of("* ") == std::string_view::npos) return {};
    return invalid_argument(cat(quoted(pattern), ": a registry, or a path of it, was expected before \"/*\""));
  }
  const auto reference = images::parse_reference(std::string(pattern));
  if (reference && reference->name() == pattern) return {};
  return invalid_argument(
      cat(quoted(pattern), ": an image's whole name was expected, without tag and digest, or \"PATH/*\""));
}

}  // namespace gantry::agent
