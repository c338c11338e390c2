// SPDX-License-Identifier: Apache-2.0
// Pods of a sort are to be spread over zones, nodes or the like (domains), which a label of nodes tells apart: how many
// more of them one domain may have than the one with the fewest. Those that say nothing of it are spread, where that can
// be, over nodes and zones if a service or an owner makes them belong together.
#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "api/kinds/core/node_fit.h"
#include "control/scheduler/rule.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::scheduling {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr std::int64_t kWeight = 2;
constexpr char kHostname[] = "kubernetes.io/hostname";
constexpr char kZone[] = "topology.kubernetes.io/zone";
constexpr std::int64_t kUsualSkewOfNodes = 3;
constexpr std::int64_t kUsualSkewOfZones = 5;
constexpr char kPreferNoSchedule[] = "PreferNoSchedule";

using Constraints = std::vector<const SpreadConstraint*>;

bool has_all_labels(const NodeState& node, const Constraints& constraints) {
  return std::ranges::all_of(constraints, [&](const auto* each) { return node.label(each->topology_key) != nullptr; });
}

bool counts(const SpreadConstraint& constraint, const NodeState& node, const core::PodSpec& spec) {
  if (constraint.honors_affinity && !api::selects_node(spec, {node.name, node.node->metadata().labels()})) return false;
  return !constraint.honors_taints || std::ranges::all_of(node.node->spec().taints(), [&](const core::Taint& taint) {
    return taint.effect() == kPreferNoSchedule ||
           api::tolerates(spec, {taint.key(), taint.value(), taint.effect()});
  });
}

// Pods by the value of the label.
using Domains = std::unordered_map<std::string, std::int64_t>;

class TopologySpreadRule final : public Rule {
 public:
  TopologySpreadRule(const PodInfo& pod, const ClusterState& cluster)
      : Rule(RuleId::kTopologySpread, kWeight), pod_(pod), cluster_(cluster) {
    for (const SpreadConstraint& each : pod.spread) (each.is_required ? required_ : preferred_).push_back(&each);
    if (!pod.spread.empty()) {
      required_pods_ = pods_of(required_);
      count_required();
    } else if (const auto pods = cluster.groups.of(*pod.pod)) {
      usual_ = {{.max_skew = kUsualSkewOfNodes, .topology_key = kHostname, .pods = *pods},
                {.max_skew = kUsualSkewOfZones, .topology_key = kZone, .pods = *pods}};
      for (const SpreadConstraint& each : usual_) preferred_.push_back(&each);
    }
    preferred_pods_ = pods_of(preferred_);
  }

  bool says_nothing() const { return required_.empty() && preferred_.empty(); }

  Refusal check(const NodeState& node) const override {
    for (std::size_t i = 0; i < required_.size(); ++i) {
      const SpreadConstraint& constraint = *required_[i];
      const std::string* value = node.label(constraint.topology_key);
      if (value == nullptr) {
        return {{"node(s) didn't match pod topology spread constraints (missing required label)"}, /*is_lasting=*/true};
      }
      const auto found = domains_[i].find(*value);
      const std::int64_t there = found == domains_[i].end() ? 0 : found->second;
      const bool is_itself = constraint.pods.matches_map(pod_.pod->metadata().labels());
      if (there + (is_itself ? 1 : 0) - fewest_[i] > constraint.max_skew) {
        return {{"node(s) didn't match pod topology spread constraints"}};
      }
    }
    return {};
  }

  void count(const PodInfo& other, const NodeState& node, int more) override {
    if (required_.empty() || !has_all_labels(node, required_)) return;
    for (std::size_t i = 0; i < required_.size(); ++i) {
      const SpreadConstraint& constraint = *required_[i];
      const CountedPods& pods = required_pods_[i]->pods();
      if (pods.is_nobody() || !pods.has(other) || !counts(constraint, node, pod_.spec())) continue;
      std::int64_t& there = domains_[i][*node.label(constraint.topology_key)];
      const std::int64_t before = std::exchange(there, there + more);
      // The least is another one only if it was here, or is now.
      if (std::min(before, there) <= fewest_[i]) fewest_[i] = fewest_of(i);
    }
  }

  std::vector<std::int64_t> rate(std::span<const NodeState* const> nodes) const override;

 private:
  using Pods = std::vector<std::shared_ptr<PodCounts::Of>>;
  Pods pods_of(const Constraints& constraints) const {
    Pods out;
    for (const auto* each : constraints) out.push_back(cluster_.counts().of(pod_.ns(), each->pods));
    return out;
  }

  void count_required() {
    if (required_.empty()) return;
    domains_.resize(required_.size());
    for (const NodeState* node : cluster_.nodes()) {
      if (!has_all_labels(*node, required_)) continue;
      for (std::size_t i = 0; i < required_.size(); ++i) {
        if (!counts(*required_[i], *node, pod_.spec())) continue;
        domains_[i][*node->label(required_[i]->topology_key)] += required_pods_[i]->on(*node);
      }
    }
    for (std::size_t i = 0; i < required_.size(); ++i) fewest_.push_back(fewest_of(i));
  }

  std::int64_t fewest_of(std::size_t i) const {
    std::int64_t fewest = std::numeric_limits<std::int32_t>::max();
    for (const auto& [value, count] : domains_[i]) fewest = std::min(fewest, count);
    // Domains that are not there yet have no pods.
    return static_cast<std::int64_t>(domains_[i].size()) < required_[i]->min_domains ? 0 : fewest;
  }

  // Whether the preferences are nothing to this node. Of those that nobody asked for what it has a label for counts.
  bool is_left_out(const NodeState& node) const { return usual_.empty() && !has_all_labels(node, preferred_); }

  const PodInfo& pod_;
  const ClusterState& cluster_;
  Constraints required_, preferred_;
  std::vector<SpreadConstraint> usual_;
  Pods required_pods_, preferred_pods_;
  // Of each of required_.
  std::vector<Domains> domains_;
  std::vector<std::int64_t> fewest_;
};

std::vector<std::int64_t> TopologySpreadRule::rate(std::span<const NodeState* const> nodes) const {
  if (preferred_.empty()) return {};
  std::vector<Domains> domains(preferred_.size());
  std::int64_t considered = 0;
  for (const NodeState* node : nodes) {
    if (is_left_out(*node)) continue;
    ++considered;
    for (std::size_t i = 0; i < preferred_.size(); ++i) {
      const std::string& key = preferred_[i]->topology_key;
      if (key == kHostname) continue;
      // Nodes without the label are a domain, too, as upstream counts domains.
      const std::string* value = node->label(key);
      domains[i].try_emplace(value == nullptr ? std::string() : *value, 0);
    }
  }
  for (const NodeState* node : cluster_.nodes()) {
    if (is_left_out(*node)) continue;
    for (std::size_t i = 0; i < preferred_.size(); ++i) {
      const SpreadConstraint& constraint = *preferred_[i];
      const std::string* value = node->label(constraint.topology_key);
      if (value == nullptr) continue;
      const auto domain = domains[i].find(*value);
      if (domain == domains[i].end() || !counts(constraint, *node, pod_.spec())) continue;
      domain->second += preferred_pods_[i]->on(*node);
    }
  }
  // The fewer domains there are, the more pods each has: they count less there.
  std::vector<double> weights;
  for (std::size_t i = 0; i < preferred_.size(); ++i) {
    const bool by_node = preferred_[i]->topology_key == kHostname;
    weights.push_back(std::log(static_cast<double>(by_node ? considered : std::ssize(domains[i])) + 2));
  }
  constexpr std::int64_t kLeftOut = -1;
  std::vector<std::int64_t> sums;
  std::int64_t least = std::numeric_limits<std::int64_t>::max(), most = 0;
  for (const NodeState* node : nodes) {
    if (is_left_out(*node)) {
      sums.push_back(kLeftOut);
      continue;
    }
    double sum = 0;
    for (std::size_t i = 0; i < preferred_.size(); ++i) {
      const SpreadConstraint& constraint = *preferred_[i];
      if (node->label(constraint.topology_key) == nullptr) continue;
      const std::int64_t count = constraint.topology_key == kHostname
                                     ? preferred_pods_[i]->on(*node)
                                     : domains[i].at(*node->label(constraint.topology_key));
      sum += static_cast<double>(count) * weights[i] + static_cast<double>(constraint.max_skew - 1);
    }
    sums.push_back(static_cast<std::int64_t>(std::round(sum)));
    least = std::min(least, sums.back());
    most = std::max(most, sums.back());
  }
  for (std::int64_t& sum : sums) {
    if (sum == kLeftOut) {
      sum = 0;
    } else {
      sum = most == 0 ? kMostPoints : kMostPoints * (most + least - sum) / most;
    }
  }
  return sums;
}

}  // namespace

RulePtr topology_spread_rule(const PodInfo& pod, const ClusterState& cluster) {
  auto rule = std::make_unique<TopologySpreadRule>(pod, cluster);
  if (rule->says_nothing()) return nullptr;
  return rule;
}

}  // namespace gantry::control::scheduling
