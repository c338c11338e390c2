// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/disruption_status.h"

#include <algorithm>

#include "control/controllers/pods.h"
#include "control/controllers/share.h"
#include "control/workloads/pod_state.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::workloads {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr char kCondition[] = "DisruptionAllowed";
constexpr char kFailed[] = "SyncFailed";

// As upstream sets conditions: the time changes with the status alone.
void set_condition(bool allowed, const std::string& reason, const std::string& message, std::int64_t now,
                   BudgetStatus* status) {
  auto& present = *status->mutable_conditions();
  const auto found = std::ranges::find_if(present, [](const auto& each) { return each.type() == kCondition; });
  auto* condition = found == present.end() ? present.Add() : &*found;
  const char* value = allowed ? "True" : "False";
  if (condition->status() != value) condition->mutable_last_transition_time()->set_seconds(now);
  condition->set_type(kCondition);
  condition->set_status(value);
  condition->set_reason(reason);
  condition->set_message(message);
  condition->set_observed_generation(status->observed_generation());
}

bool has_condition(const BudgetStatus& status, bool allowed, const std::string& reason) {
  return std::ranges::any_of(status.conditions(), [&](const auto& each) {
    return each.type() == kCondition && each.status() == (allowed ? "True" : "False") && each.reason() == reason;
  });
}

std::map<std::string, std::int64_t> disrupted_of(const BudgetStatus& status) {
  std::map<std::string, std::int64_t> out;
  for (const auto& [name, time] : status.disrupted_pods()) out[name] = time.seconds();
  return out;
}

}  // namespace

Disrupted disrupted_pods(const Budget& budget, const PodList& pods, std::int64_t now) {
  Disrupted out;
  const auto& known = budget.status().disrupted_pods();
  for (const auto& pod : pods) {
    const auto found = known.find(pod->metadata().name());
    if (found == known.end() || pod->metadata().has_deletion_timestamp()) continue;
    const std::int64_t left = found->second.seconds() + kDisruptionLimit - now;
    if (left < 0) {
      out.overdue.push_back(pod);
      continue;
    }
    out.pods[found->first] = found->second.seconds();
    out.recheck = std::min(out.recheck.value_or(left + 1), left + 1);
  }
  return out;
}

int count_healthy(const PodList& pods, const Disrupted& disrupted) {
  return static_cast<int>(std::ranges::count_if(pods, [&disrupted](const auto& pod) {
    const bool stays = !pod->metadata().has_deletion_timestamp() && !disrupted.pods.contains(pod->metadata().name());
    return stays && is_ready(*pod);
  }));
}

bool needs_scale(const Budget& budget) {
  return budget.spec().has_max_unavailable() ||
         (budget.spec().has_min_available() && budget.spec().min_available().type() != 0);
}

Wanted wanted_pods(const Budget& budget, int pods, int scale) {
  const auto& spec = budget.spec();
  if (spec.has_max_unavailable()) {
    return {scale, std::max(0, scale - amount_of(spec.max_unavailable(), scale, Rounding::kUp))};
  }
  if (!spec.has_min_available()) return {};
  if (needs_scale(budget)) return {scale, amount_of(spec.min_available(), scale, Rounding::kUp)};
  return {pods, spec.min_available().int_val()};
}

std::optional<BudgetStatus> next_status(const Budget& budget, int healthy, Wanted wanted, const Disrupted& disrupted,
                                        std::int64_t now) {
  // A budget without pods lets none go that it will get before this is seen.
  const int allowed = wanted.expected <= 0 ? 0 : std::max(0, healthy - wanted.healthy);
  const char* reason = allowed > 0 ? "SufficientPods" : "InsufficientPods";
  const BudgetStatus& old = budget.status();
  const bool is_same = old.current_healthy() == healthy && old.desired_healthy() == wanted.healthy &&
                       old.expected_pods() == wanted.expected && old.disruptions_allowed() == allowed &&
                       disrupted_of(old) == disrupted.pods &&
                       old.observed_generation() == budget.metadata().generation() &&
                       has_condition(old, allowed > 0, reason);
  if (is_same) return std::nullopt;
  BudgetStatus status;
  *status.mutable_conditions() = old.conditions();
  status.set_current_healthy(healthy);
  status.set_desired_healthy(wanted.healthy);
  status.set_expected_pods(wanted.expected);
  status.set_disruptions_allowed(allowed);
  for (const auto& [name, time] : disrupted.pods) (*status.mutable_disrupted_pods())[name].set_seconds(time);
  status.set_observed_generation(budget.metadata().generation());
  set_condition(allowed > 0, reason, "", now, &status);
  return status;
}

std::optional<BudgetStatus> failed_status(const Budget& budget, const std::string& error, std::int64_t now) {
  BudgetStatus status = budget.status();
  const bool is_said = std::ranges::any_of(status.conditions(), [&](const auto& each) {
    return each.type() == kCondition && each.reason() == kFailed && each.message() == error;
  });
  if (is_said && status.disruptions_allowed() == 0) return std::nullopt;
  status.set_disruptions_allowed(0);
  set_condition(false, kFailed, error, now, &status);
  return status;
}

std::optional<std::int64_t> stale_target_in(const core::Pod& pod, std::int64_t now) {
  if (pod.metadata().has_deletion_timestamp() || has_ended(pod)) return std::nullopt;
  for (const core::PodCondition& condition : pod.status().conditions()) {
    if (condition.type() != "DisruptionTarget") continue;
    // The node's own take as long as they take.
    if (condition.status() != "True" || condition.reason() == "TerminationByKubelet") return std::nullopt;
    return std::max<std::int64_t>(0, condition.last_transition_time().seconds() + kDisruptionLimit - now);
  }
  return std::nullopt;
}

}  // namespace gantry::control::workloads
