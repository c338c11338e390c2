// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/disruption.h"

#include <algorithm>
#include <chrono>

#include "api/kinds/core/same_map.h"
#include "base/text.h"
#include "control/controllers/pods.h"
#include "control/workloads/pod_state.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::workloads {

namespace core = k8s::io::api::core::v1;

namespace {

bool same_to_budgets(const core::Pod& a, const core::Pod& b) {
  const auto owner = [](const core::Pod& pod) {
    const OwnerReference* found = controller_of(pod.metadata());
    return found == nullptr ? std::string() : found->uid();
  };
  return api::same_map(a.metadata().labels(), b.metadata().labels()) && is_ready(a) == is_ready(b) &&
         owner(a) == owner(b) && a.metadata().uid() == b.metadata().uid() &&
         a.metadata().has_deletion_timestamp() == b.metadata().has_deletion_timestamp();
}

// As Go prints one.
std::string go_text(const Budget& budget) {
  const auto& selector = budget.spec().selector();
  const std::map<std::string, std::string> labels(selector.match_labels().begin(), selector.match_labels().end());
  std::string out = "&LabelSelector{MatchLabels:map[string]string{";
  for (const auto& [label, value] : labels) out += cat(label, ": ", value, ",");
  out += "},MatchExpressions:[]LabelSelectorRequirement{";
  for (const auto& each : selector.match_expressions()) {
    out += cat("LabelSelectorRequirement{Key:", each.key(), ",Operator:", each.operator_(), ",Values:[");
    for (int i = 0; i < each.values_size(); ++i) out += cat(i == 0 ? "" : " ", each.values(i));
    out += "],},";
  }
  return out + "},}";
}

}  // namespace

DisruptionController::DisruptionController(ControllerParts parts)
    : parts_(std::move(parts)),
      events_(parts_, "controllermanager"),
      queue_(
          parts_.queues(), "disruption", [this](std::string key) { return work(key); }, 4),
      stale_(parts_.queues(), "stale_pod_disruption", [this](std::string key) { return clear_target(key); }),
      rechecks_(parts_.here, queue_),
      stale_later_(parts_.here, stale_),
      scales_(parts_, [this](const std::string& ns) {
        const auto& all = parts_.informers.of<Budget>().all();
        const std::string prefix = ns + "/";
        for (auto at = all.lower_bound(prefix); at != all.end() && at->first.starts_with(prefix); ++at) {
          queue_.add(at->first);
        }
      }) {
  parts_.informers.of<Budget>().on_change([this](const api::Informer::Change& change) {
    const auto& budget = static_cast<const Budget&>(change.object());
    const std::string key = key_of(budget);
    if (change.now == nullptr) {
      selectors_.erase(key);
      return;
    }
    const auto& spec = budget.spec();
    selectors_[key] = spec.has_selector() ? selector_of(spec.selector()) : api::LabelSelector::nothing();
    queue_.add(key);
  });
  parts_.informers.of<core::Pod>().on_change([this](const api::Informer::Change& change) { see_pod(change); });
}

void DisruptionController::start() {
  queue_.start();
  stale_.start();
}

void DisruptionController::stop() {
  selectors_.clear();
  rechecks_.clear();
  stale_later_.clear();
}

std::vector<std::string> DisruptionController::budgets_of(const core::Pod& pod) const {
  std::vector<std::string> out;
  const auto& all = parts_.informers.of<Budget>().all();
  const std::string prefix = pod.metadata().namespace_() + "/";
  for (auto at = all.lower_bound(prefix); at != all.end() && at->first.starts_with(prefix); ++at) {
    if (selectors_.at(at->first).matches_map(pod.metadata().labels())) out.push_back(at->first);
  }
  return out;
}

PodList DisruptionController::pods_of(const std::string& key) const {
  PodList out;
  const api::LabelSelector& selector = selectors_.at(key);
  const auto& all = parts_.informers.of<core::Pod>().all();
  const std::string prefix = api::split_key(key).first + "/";
  for (auto at = all.lower_bound(prefix); at != all.end() && at->first.starts_with(prefix); ++at) {
    auto pod = std::static_pointer_cast<const core::Pod>(at->second);
    if (selector.matches_map(pod->metadata().labels())) out.push_back(std::move(pod));
  }
  return out;
}

void DisruptionController::see_pod(const api::Informer::Change& change) {
  const auto* before = static_cast<const core::Pod*>(change.before.get());
  const auto* now = static_cast<const core::Pod*>(change.now.get());
  if (now != nullptr) {
    const std::optional<std::int64_t> stale = stale_target_in(*now, parts_.now().seconds);
    if (stale) stale_later_.within(key_of(*now), std::chrono::seconds(*stale));
  }
  if (before != nullptr && now != nullptr && same_to_budgets(*before, *now)) return;
  if (before != nullptr) {
    for (std::string& key : budgets_of(*before)) queue_.add(std::move(key));
  }
  if (now == nullptr) return;
  std::vector<std::string> budgets = budgets_of(*now);
  if (budgets.size() > 1) {
    const auto& metadata = now->metadata();
    events_.warning(
        events_.about(*now), "MultiplePodDisruptionBudgets",
        cat("Pod ", quoted(metadata.namespace_(), 253), "/", quoted(metadata.name(), 253),
            " matches multiple PodDisruptionBudgets.  Chose ", quoted(api::split_key(budgets.front()).second, 253),
            " arbitrarily."));
  }
  for (std::string& key : budgets) queue_.add(std::move(key));
}

Task<Status> DisruptionController::work(std::string key) {
  const auto budget = parts_.informers.of<Budget>().find_key(key);
  if (budget == nullptr) co_return Status();
  const Result<std::optional<BudgetStatus>> judged = co_await judge(budget);
  if (!judged && judged.error().is_cancelled()) co_return std::unexpected(judged.error());
  const std::optional<BudgetStatus> status =
      judged ? *judged : failed_status(*budget, judged.error().message(), parts_.now().seconds);
  if (status) {
    Budget updated = *budget;
    *updated.mutable_status() = *status;
    if (Status done = done_or_late(co_await parts_.client.update_status(updated)); !done) co_return done;
  }
  // What is not there is waited for; who did not answer is asked again.
  if (!judged && !judged.error().is_not_found()) co_return std::unexpected(judged.error());
  co_return Status();
}

// The status that it should have; none when it has it.
Task<Result<std::optional<BudgetStatus>>> DisruptionController::judge(std::shared_ptr<const Budget> budget) {
  const std::string key = key_of(*budget);
  const PodList pods = pods_of(key);
  if (pods.empty()) events_.normal(events_.about(*budget), "NoPods", "No matching pods found");
  int scale = 0;
  if (needs_scale(*budget)) {
    const Result<PodScales::Total> total = co_await scales_.total(pods);
    if (!total) {
      if (!total.error().is_cancelled()) {
        events_.warning(events_.about(*budget), "CalculateExpectedPodCountFailed",
                        cat("Failed to calculate the number of expected pods: ", total.error().message()));
      }
      co_return std::unexpected(total.error());
    }
    scale = total->replicas;
    if (total->has_unmanaged) {
      events_.warning(events_.about(*budget), "UnmanagedPods",
                      cat("Pods selected by this PodDisruptionBudget (selector: ", go_text(*budget),
                          ") were found to be unmanaged. As a result, the status of the PDB cannot be calculated "
                          "correctly, which may result in undefined behavior. To account for these pods please set "
                          "\".spec.minAvailable\" field of the PDB to an integer value."));
    }
  }
  const std::int64_t now = parts_.now().seconds;
  const Disrupted disrupted = disrupted_pods(*budget, pods, now);
  for (const auto& pod : disrupted.overdue) {
    events_.warning(events_.about(*pod), "NotDeleted",
                    cat("Pod was expected by PDB ", key, " to be deleted but it wasn't"));
  }
  if (disrupted.recheck) {
    rechecks_.within(key, std::chrono::seconds(*disrupted.recheck));
  }
  const Wanted wanted = wanted_pods(*budget, static_cast<int>(pods.size()), scale);
  co_return next_status(*budget, count_healthy(pods, disrupted), wanted, disrupted, now);
}

Task<Status> DisruptionController::clear_target(std::string key) {
  const auto pod = parts_.informers.of<core::Pod>().find_key(key);
  const std::int64_t now = parts_.now().seconds;
  const std::optional<std::int64_t> stale = pod == nullptr ? std::nullopt : stale_target_in(*pod, now);
  if (!stale) co_return Status();
  if (*stale > 0) {
    stale_later_.within(key, std::chrono::seconds(*stale));
    co_return Status();
  }
  const auto& metadata = pod->metadata();
  api::Value condition = api::Value::object({{"type", "DisruptionTarget"},
                                             {"status", "False"},
                                             {"reason", nullptr},
                                             {"message", nullptr},
                                             {"lastTransitionTime", api::format_rfc3339(now)}});
  api::Value status = api::Value::object({});
  status["conditions"] = api::Value(api::Value::List{std::move(condition)});
  const api::Value change = api::Value::object(
      {{"metadata", api::Value::object({{"uid", metadata.uid()}, {"resourceVersion", metadata.resource_version()}})},
       {"status", std::move(status)}});
  co_return done_or_late(co_await parts_.client.patch<core::Pod>(
      metadata.namespace_(), metadata.name(), api::PatchForm::kStrategicMerge, change, "status"));
}

}  // namespace gantry::control::workloads
