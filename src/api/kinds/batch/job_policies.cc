// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <optional>
#include <set>

#include "api/kinds/batch/job_spec.h"
#include "api/names.h"
#include "base/text.h"
#include "kubernetes/batch/v1/job.pb.h"

namespace gantry::api {

namespace {

namespace batch = k8s::io::api::batch::v1;

constexpr int kMaxRules = 20;
constexpr int kMaxPatterns = 20;
constexpr int kMaxExitCodes = 255;
constexpr size_t kMaxIndexesText = size_t{64} << 10;

void check_exit_codes(const batch::PodFailurePolicyOnExitCodesRequirement& codes,
                      const std::set<std::string_view>& containers, const Check& check) {
  if (codes.operator_().empty()) {
    check.at("operator").required("must be In or NotIn");
  } else {
    check.at("operator").one_of(codes.operator_(), {"In", "NotIn"});
  }
  if (codes.has_container_name() && !containers.contains(codes.container_name())) {
    check.at("containerName").invalid(codes.container_name(), "must be a container of the template");
  }
  const Check values = check.at("values");
  if (codes.values().empty()) values.invalid("", "must have at least one value");
  if (codes.values_size() > kMaxExitCodes) values.too_long(codes.values_size(), kMaxExitCodes, "entries");
  std::set<int32_t> seen;
  bool ordered = true;
  for (int i = 0; i < codes.values_size(); ++i) {
    if (codes.operator_() == "In" && codes.values(i) == 0) values[i].invalid(0, "must not be 0 when operator is In");
    if (!seen.insert(codes.values(i)).second) values[i].duplicate(std::to_string(codes.values(i)));
    if (i > 0 && codes.values(i - 1) > codes.values(i)) ordered = false;
  }
  if (!ordered) values.invalid("", "must be in order");
}

template <typename Patterns>
void check_conditions(const Patterns& patterns, const Check& check) {
  if (patterns.size() > kMaxPatterns) check.too_long(patterns.size(), kMaxPatterns, "entries");
  for (int i = 0; i < patterns.size(); ++i) {
    check[i].at("type").well_formed(patterns[i].type(), check_qualified_name);
    check[i].at("status").one_of(patterns[i].status(), {"False", "True", "Unknown"});
  }
}

void check_rule(const batch::JobSpec& spec, const batch::PodFailurePolicyRule& rule,
                const std::set<std::string_view>& containers, const Check& check) {
  const Check action = check.at("action");
  if (rule.action().empty()) {
    action.required("must be Count, FailIndex, FailJob or Ignore");
  } else if (rule.action() == "FailIndex" && !spec.has_backoff_limit_per_index()) {
    action.invalid(rule.action(), "needs backoffLimitPerIndex");
  } else {
    action.one_of(rule.action(), {"Count", "FailIndex", "FailJob", "Ignore"});
  }
  if (rule.has_on_exit_codes()) check_exit_codes(rule.on_exit_codes(), containers, check.at("onExitCodes"));
  check_conditions(rule.on_pod_conditions(), check.at("onPodConditions"));
  if (rule.has_on_exit_codes() == !rule.on_pod_conditions().empty()) {
    check.invalid("", "must have one of onExitCodes and onPodConditions");
  }
}

// How many indexes "1,3-5" has: in order, each below `completions`. Nothing when it is not such a text.
std::optional<int64_t> count_indexes(std::string_view text, int32_t completions) {
  int64_t count = 0;
  int64_t last = -1;
  while (!text.empty()) {
    const auto take = [&]() -> std::optional<int64_t> {
      int32_t value = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
      if (error != std::errc() || value < 0 || value >= completions) return std::nullopt;
      text.remove_prefix(static_cast<size_t>(end - text.data()));
      return value;
    };
    const std::optional<int64_t> first = take();
    if (!first || *first <= last) return std::nullopt;
    std::optional<int64_t> end = first;
    if (text.starts_with('-')) {
      text.remove_prefix(1);
      end = take();
      if (!end || *end <= *first) return std::nullopt;
    }
    count += *end - *first + 1;
    last = *end;
    if (text.empty()) break;
    if (!text.starts_with(',') || text.size() == 1) return std::nullopt;
    text.remove_prefix(1);
  }
  return count;
}

void check_success_rule(const batch::JobSpec& spec, const batch::SuccessPolicyRule& rule, const Check& check) {
  if (!rule.has_succeeded_count() && !rule.has_succeeded_indexes()) {
    return check.required("must have succeededCount or succeededIndexes");
  }
  const Check indexes = check.at("succeededIndexes");
  int64_t most = spec.completions();
  if (rule.has_succeeded_indexes()) {
    if (rule.succeeded_indexes().size() > kMaxIndexesText) {
      indexes.too_long(rule.succeeded_indexes().size(), kMaxIndexesText, "characters");
    }
    const std::optional<int64_t> count = count_indexes(rule.succeeded_indexes(), spec.completions());
    if (!count) indexes.invalid(rule.succeeded_indexes(), "must be indexes in order, such as 1,3-5");
    most = count.value_or(0);
  }
  if (!rule.has_succeeded_count()) return;
  const Check at = check.at("succeededCount");
  at.not_negative(rule.succeeded_count());
  if (rule.succeeded_count() > spec.completions()) at.invalid(rule.succeeded_count(), "must be at most completions");
  if (rule.has_succeeded_indexes() && rule.succeeded_count() > most) {
    at.invalid(rule.succeeded_count(), "must be at most the number of succeededIndexes");
  }
}

}  // namespace

void check_failure_policy(const batch::JobSpec& spec, const Check& check) {
  if (!spec.has_pod_failure_policy()) return;
  const Check rules = check.at("podFailurePolicy").at("rules");
  const auto& policy = spec.pod_failure_policy();
  if (policy.rules_size() > kMaxRules) rules.too_long(policy.rules_size(), kMaxRules, "entries");
  std::set<std::string_view> containers;
  for (const auto& container : spec.template_().spec().containers()) containers.insert(container.name());
  for (const auto& container : spec.template_().spec().init_containers()) containers.insert(container.name());
  for (int i = 0; i < policy.rules_size(); ++i) check_rule(spec, policy.rules(i), containers, rules[i]);
}

void check_success_policy(const batch::JobSpec& spec, const Check& check) {
  if (!spec.has_success_policy()) return;
  if (spec.completion_mode() != "Indexed") {
    return check.at("successPolicy").invalid("", "needs completionMode: Indexed");
  }
  const Check rules = check.at("successPolicy").at("rules");
  const auto& policy = spec.success_policy();
  if (policy.rules().empty()) rules.required("must have at least one rule");
  if (policy.rules_size() > kMaxRules) rules.too_long(policy.rules_size(), kMaxRules, "entries");
  for (int i = 0; i < policy.rules_size(); ++i) check_success_rule(spec, policy.rules(i), rules[i]);
}

}  // namespace gantry::api
