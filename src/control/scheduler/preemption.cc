// SPDX-License-Identifier: Apache-2.0
#include "control/scheduler/preemption.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <optional>
#include <tuple>
#include <unordered_map>

#include "base/text.h"
#include "control/scheduler/fit.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::scheduling {

namespace core = k8s::io::api::core::v1;

namespace {

// So many nodes where it could be done are enough to choose from.
constexpr std::size_t kEnoughPart = 10;  // percent
constexpr std::size_t kEnoughNodes = 100;
constexpr std::int64_t kAboveAnyNegative = std::int64_t{std::numeric_limits<std::int32_t>::max()} + 1;

using Pods = std::vector<PodInfoPtr>;

struct Time {
  std::int64_t seconds = 0, nanos = 0;
  auto operator<=>(const Time&) const = default;
};

bool is_below(const PodInfo& other, const PodInfo& pod) { return other.priority() < pod.priority(); }

bool never_preempts(const PodInfo& pod) { return pod.spec().preemption_policy() == "Never"; }

class Search {
 public:
  Search(const PodInfo& pod, const ClusterState& cluster, std::int64_t now)
      : pod_(pod), cluster_(cluster), now_{now, 0}, rules_(all_rules(pod, cluster)) {}

  struct Candidate {
    const NodeState* node = nullptr;
    Pods victims;  // the most important first
    std::int64_t violations = 0;
  };
  // Nothing: `why` says it.
  std::optional<Candidate> look(const NodeState& node, Refusal* why);
  const Candidate& best_of(const std::vector<Candidate>& candidates) const;

 private:
  Time started(const PodInfo& pod) const {
    const auto& status = pod.pod->status();
    return status.has_start_time() ? Time{status.start_time().seconds(), status.start_time().nanos()} : now_;
  }
  bool is_more_important(const PodInfoPtr& a, const PodInfoPtr& b) const {
    if (a->priority() != b->priority()) return a->priority() > b->priority();
    const Time started_a = started(*a), started_b = started(*b);
    return started_a != started_b ? started_a < started_b : a->key < b->key;
  }
  // Those of the pods whose budget has nothing left for them; each takes from what is left for the next.
  Pods violating(const Pods& pods) const;
  // Since when the most important of them have been there.
  Time earliest_start(const Pods& victims) const;

  void put(const PodInfoPtr& other, NodeState* node) {
    node->put(other);
    for (const RulePtr& rule : rules_) rule->count(*other, *node, 1);
  }
  void take(const PodInfoPtr& other, NodeState* node) {
    node->take(other);
    for (const RulePtr& rule : rules_) rule->count(*other, *node, -1);
  }

  const PodInfo& pod_;
  const ClusterState& cluster_;
  const Time now_;
  Rules rules_;
};

Pods Search::violating(const Pods& pods) const {
  std::unordered_map<const DisruptionBudget*, std::int64_t> taken;
  const auto has_none_left = [&](const PodInfoPtr& pod) {
    const auto& labels = pod->pod->metadata().labels();
    if (labels.empty()) return false;
    const std::string prefix = cat(pod->ns(), "/");
    bool has_none = false;
    for (auto at = cluster_.budgets.lower_bound(prefix);
         at != cluster_.budgets.end() && at->first.starts_with(prefix); ++at) {
      const DisruptionBudget& budget = at->second;
      if (budget.pods.selects_everything() || !budget.pods.matches_map(labels)) continue;
      if (budget.leaving.contains(pod->pod->metadata().name())) continue;
      // Each of its budgets is charged.
      if (++taken[&budget] > budget.left) has_none = true;
    }
    return has_none;
  };
  Pods out;
  std::ranges::copy_if(pods, std::back_inserter(out), has_none_left);
  return out;
}

std::optional<Search::Candidate> Search::look(const NodeState& there, Refusal* why) {
  Pods below;
  std::ranges::copy_if(there.pods, std::back_inserter(below),
                       [&](const PodInfoPtr& other) { return is_below(*other, pod_); });
  if (below.empty()) {
    *why = {{"No preemption victims found for incoming pod"}, /*is_lasting=*/true};
    return std::nullopt;
  }
  NodeState node = there;
  for (const PodInfoPtr& other : below) take(other, &node);
  const auto fits = [&] { return check(pod_, &rules_, node, cluster_.nominations); };
  if (Check without = fits(); !without.is_fit()) {
    for (const PodInfoPtr& other : below) put(other, &node);
    *why = std::move(without.refusal);
    return std::nullopt;
  }
  const auto by_importance = [&](const PodInfoPtr& a, const PodInfoPtr& b) { return is_more_important(a, b); };
  std::ranges::sort(below, by_importance);
  Candidate candidate{.node = &there};
  // Those stay for whom there is room beside the pod: first those of whom none may leave.
  const auto let_stay = [&](const PodInfoPtr& other) {
    put(other, &node);
    if (fits().is_fit()) return true;
    take(other, &node);
    candidate.victims.push_back(other);
    return false;
  };
  const Pods protected_ones = violating(below);
  for (const PodInfoPtr& other : protected_ones) candidate.violations += let_stay(other) ? 0 : 1;
  for (const PodInfoPtr& other : below) {
    if (std::ranges::find(protected_ones, other) == protected_ones.end()) let_stay(other);
  }
  for (const PodInfoPtr& other : candidate.victims) put(other, &node);
  std::ranges::sort(candidate.victims, by_importance);
  return candidate;
}

Time Search::earliest_start(const Pods& victims) const {
  Time earliest = started(*victims.front());
  for (const PodInfoPtr& victim : victims) {
    if (victim->priority() == victims.front()->priority()) earliest = std::min(earliest, started(*victim));
  }
  return earliest;
}

const Search::Candidate& Search::best_of(const std::vector<Candidate>& candidates) const {
  const auto loss = [&](const Candidate& one) {
    std::int64_t priorities = 0;
    for (const PodInfoPtr& victim : one.victims) priorities += victim->priority() + kAboveAnyNegative;
    return std::make_tuple(one.violations, one.victims.front()->priority(), priorities, one.victims.size());
  };
  return *std::ranges::min_element(candidates, [&](const Candidate& a, const Candidate& b) {
    const auto loss_of_a = loss(a), loss_of_b = loss(b);
    if (loss_of_a != loss_of_b) return loss_of_a < loss_of_b;
    return earliest_start(a.victims) > earliest_start(b.victims);
  });
}

}  // namespace

bool awaits_victims(const PodInfo& pod, const NodeState& node) {
  return std::ranges::any_of(node.pods, [&](const PodInfoPtr& other) {
    if (!is_below(*other, pod) || !other->pod->metadata().has_deletion_timestamp()) return false;
    const auto& conditions = other->pod->status().conditions();
    const auto found = std::ranges::find(conditions, "DisruptionTarget", &core::PodCondition::type);
    return found != conditions.end() && found->status() == "True" && found->reason() == "PreemptionByScheduler";
  });
}

bool may_be_helped(const PodInfo& pod, const NodeState& node) {
  if (never_preempts(pod)) return false;
  if (std::ranges::none_of(node.pods, [&](const PodInfoPtr& other) { return is_below(*other, pod); })) return false;
  return !check(rules_of_node(pod), node).refusal.is_lasting;
}

Preemption preempt(const PodInfo& pod, const Placement& placement, const ClusterState& cluster,
                   std::int64_t now_seconds, Turns* turns) {
  Preemption out;
  if (never_preempts(pod)) {
    out.keeps_nomination = true;
    out.told = "preemption: not eligible due to preemptionPolicy=Never.";
    return out;
  }
  const std::vector<const NodeState*>& nodes = placement.may_be_helped;
  const std::string nominated = cluster.nominations.node_of(pod.key);
  const auto own = std::ranges::find(nodes, nominated, &NodeState::name);
  if (own != nodes.end() && awaits_victims(pod, **own)) {
    out.keeps_nomination = true;
    out.told = "preemption: not eligible due to a terminating pod on the nominated node.";
    return out;
  }
  Reasons reasons(cluster.nodes().size());
  std::vector<Search::Candidate> candidates;
  std::size_t refused = 0;
  if (!nodes.empty()) {
    Search search(pod, cluster, now_seconds);
    const std::size_t enough =
        std::min(std::max(nodes.size() * kEnoughPart / 100, kEnoughNodes), nodes.size());
    const std::size_t first = std::uniform_int_distribution<std::size_t>(0, nodes.size() - 1)(turns->chance);
    bool is_one_harmless = false;
    for (std::size_t i = 0; i < nodes.size() && !(is_one_harmless && candidates.size() >= enough); ++i) {
      Refusal why;
      if (auto candidate = search.look(*nodes[(first + i) % nodes.size()], &why)) {
        if (candidate->victims.empty()) continue;
        is_one_harmless = is_one_harmless || candidate->violations == 0;
        candidates.push_back(std::move(*candidate));
      } else {
        for (const std::string& reason : why.reasons) reasons.add(reason, 1);
        ++refused;
      }
    }
    if (!candidates.empty()) {
      const Search::Candidate& best = search.best_of(candidates);
      out.node = best.node->name;
      out.victims = best.victims;
      out.told = cat("preemption: found a potential placement for pod on node ", out.node, ", preempting ",
                     out.victims.size(), " victims");
      return out;
    }
  }
  reasons.add("Preemption is not helpful for scheduling", cluster.nodes().size() - refused);
  out.told = cat("preemption: ", reasons.text());
  return out;
}

}  // namespace gantry::control::scheduling
