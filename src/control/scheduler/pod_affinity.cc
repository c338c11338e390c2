// SPDX-License-Identifier: Apache-2.0
// Pods that want to be near one another, or far apart. What is near says a label of nodes: pods are counted by its
// values once, and then each node is one look.
#include <algorithm>
#include <limits>
#include <map>
#include <unordered_map>

#include "control/scheduler/rule.h"

namespace gantry::control::scheduling {

namespace {

constexpr std::int64_t kWeight = 2;
// What a pod that is there wants to be near counts, when it has to be, as a preference of this weight.
constexpr std::int64_t kRequiredOfOthers = 1;

// By the label's key and its value.
class Counts {
 public:
  void add(const NodeState& node, const std::string& key, std::int64_t more) {
    const std::string* value = node.label(key);
    if (value == nullptr) return;
    auto& of_key = counts_[key];
    if ((of_key[*value] += more) == 0) of_key.erase(*value);
    if (of_key.empty()) counts_.erase(key);
  }
  std::int64_t at(const std::string& key, const std::string& value) const {
    const auto of_key = counts_.find(key);
    if (of_key == counts_.end()) return 0;
    const auto found = of_key->second.find(value);
    return found == of_key->second.end() ? 0 : found->second;
  }
  // Of all that the node's labels say.
  std::int64_t sum(const NodeState& node) const {
    std::int64_t sum = 0;
    for (const auto& [key, values] : counts_) {
      if (const std::string* value = node.label(key)) sum += at(key, *value);
    }
    return sum;
  }
  bool has_any(const NodeState& node) const {
    return std::ranges::any_of(counts_, [&](const auto& of_key) {
      const std::string* value = node.label(of_key.first);
      return value != nullptr && at(of_key.first, *value) > 0;
    });
  }
  bool is_empty() const { return counts_.empty(); }

 private:
  std::map<std::string, std::unordered_map<std::string, std::int64_t>> counts_;
};

class PodAffinityRule final : public Rule {
 public:
  PodAffinityRule(const PodInfo& pod, const ClusterState& cluster)
      : Rule(RuleId::kPodAffinity, kWeight), pod_(pod), cluster_(cluster) {
    for (const NodeState* node : cluster.nodes()) {
      for (const PodInfoPtr& other : node->with_required_anti_affinity) count_keeping_away(*other, *node, 1);
    }
    if (pod.required_affinity.empty() && pod.required_anti_affinity.empty()) return;
    for (const NodeState* node : cluster.nodes()) {
      for (const PodInfoPtr& other : node->pods) count_wanted(*other, *node, 1);
    }
  }

  void count(const PodInfo& other, const NodeState& node, int more) override {
    count_keeping_away(other, node, more);
    count_wanted(other, node, more);
  }

  Refusal check(const NodeState& node) const override {
    if (!is_near(node)) return {{"node(s) didn't match pod affinity rules"}, /*is_lasting=*/true};
    const bool too_near = std::ranges::any_of(pod_.required_anti_affinity, [&](const AffinityTerm& term) {
      const std::string* value = node.label(term.topology_key);
      return value != nullptr && avoided_.at(term.topology_key, *value) > 0;
    });
    if (too_near) return {{"node(s) didn't match pod anti-affinity rules"}};
    if (keeping_away_.has_any(node)) return {{"node(s) didn't satisfy existing pods anti-affinity rules"}};
    return {};
  }

  std::vector<std::int64_t> rate(std::span<const NodeState* const> nodes) const override {
    const bool has_wishes = !pod_.preferred_affinity.empty() || !pod_.preferred_anti_affinity.empty();
    Counts wishes;
    for (const NodeState* node : cluster_.nodes()) {
      // Without wishes of its own the pod is only what others wish for.
      for (const PodInfoPtr& other : has_wishes ? node->pods : node->with_affinity) weigh(*node, *other, &wishes);
    }
    if (wishes.is_empty()) return {};
    std::vector<std::int64_t> sums;
    for (const NodeState* node : nodes) sums.push_back(wishes.sum(*node));
    const auto [least, most] = std::ranges::minmax(sums);
    if (least == most) return {};
    for (std::int64_t& sum : sums) sum = kMostPoints * (sum - least) / (most - least);
    return sums;
  }

 private:
  void count_keeping_away(const PodInfo& other, const NodeState& node, int more) {
    for (const AffinityTerm& term : other.required_anti_affinity) {
      if (cluster_.selects(term, pod_)) keeping_away_.add(node, term.topology_key, more);
    }
  }

  void count_wanted(const PodInfo& other, const NodeState& node, int more) {
    const auto selects = [&](const AffinityTerm& term) { return cluster_.selects(term, other); };
    if (!pod_.required_affinity.empty() && std::ranges::all_of(pod_.required_affinity, selects)) {
      for (const AffinityTerm& term : pod_.required_affinity) wanted_.add(node, term.topology_key, more);
    }
    for (const AffinityTerm& term : pod_.required_anti_affinity) {
      if (selects(term)) avoided_.add(node, term.topology_key, more);
    }
  }

  void weigh(const NodeState& node, const PodInfo& other, Counts* wishes) const {
    const auto each = [&](const std::vector<AffinityTerm>& terms, const PodInfo& whom, std::int64_t sign) {
      for (const AffinityTerm& term : terms) {
        if (cluster_.selects(term, whom)) wishes->add(node, term.topology_key, sign * term.weight);
      }
    };
    each(pod_.preferred_affinity, other, 1);
    each(pod_.preferred_anti_affinity, other, -1);
    for (const AffinityTerm& term : other.required_affinity) {
      if (cluster_.selects(term, pod_)) wishes->add(node, term.topology_key, kRequiredOfOthers);
    }
    each(other.preferred_affinity, pod_, 1);
    each(other.preferred_anti_affinity, pod_, -1);
  }

  bool is_near(const NodeState& node) const {
    bool all = true;
    for (const AffinityTerm& term : pod_.required_affinity) {
      const std::string* value = node.label(term.topology_key);
      if (value == nullptr) return false;
      all = all && wanted_.at(term.topology_key, *value) > 0;
    }
    if (all) return true;
    // The first of pods that want to be near one another has nobody to be near to.
    return wanted_.is_empty() && std::ranges::all_of(pod_.required_affinity, [&](const AffinityTerm& term) {
             return cluster_.selects(term, pod_);
           });
  }

  const PodInfo& pod_;
  const ClusterState& cluster_;
  Counts wanted_;        // pods that meet all of the pod's affinity
  Counts avoided_;       // those that meet one of its anti-affinity
  Counts keeping_away_;  // those whose anti-affinity the pod meets
};

}  // namespace

RulePtr pod_affinity_rule(const PodInfo& pod, const ClusterState& cluster) {
  return std::make_unique<PodAffinityRule>(pod, cluster);
}

}  // namespace gantry::control::scheduling
