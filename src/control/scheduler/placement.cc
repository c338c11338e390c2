// SPDX-License-Identifier: Apache-2.0
#include "control/scheduler/placement.h"

#include <algorithm>
#include <optional>
#include <set>

#include "base/text.h"
#include "control/scheduler/fit.h"

namespace gantry::control::scheduling {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr std::size_t kEnoughNodes = 100;

using Nodes = std::vector<const NodeState*>;

// How many fit nodes are enough to choose from.
std::size_t enough_of(std::size_t nodes) {
  if (nodes < kEnoughNodes) return nodes;
  const std::size_t part = nodes / 125 >= 45 ? 5 : 50 - nodes / 125;
  return std::max(nodes * part / 100, kEnoughNodes);
}

// The nodes that a pod's affinity names, as those of daemon sets do: no others need be looked at. Nothing: it names
// none.
std::optional<std::set<std::string>> named_nodes(const core::PodSpec& spec) {
  const auto& affinity = spec.affinity().node_affinity();
  if (!affinity.has_required_during_scheduling_ignored_during_execution()) return std::nullopt;
  std::set<std::string> all;
  for (const auto& term : affinity.required_during_scheduling_ignored_during_execution().node_selector_terms()) {
    std::optional<std::set<std::string>> names;
    for (const auto& field : term.match_fields()) {
      if (field.key() != "metadata.name" || field.operator_() != "In") continue;
      std::set<std::string> values(field.values().begin(), field.values().end());
      if (names) std::erase_if(*names, [&](const std::string& name) { return !values.contains(name); });
      if (!names) names = std::move(values);
    }
    if (!names) return std::nullopt;
    all.merge(*names);
  }
  return all;
}

const NodeState* best_of(const Nodes& nodes, const Rules& rules, Turns* turns) {
  if (nodes.size() == 1) return nodes.front();
  std::vector<std::int64_t> sums(nodes.size(), 0);
  for (const RulePtr& rule : rules) {
    const std::vector<std::int64_t> points = rule->rate(nodes);
    for (std::size_t i = 0; i < points.size(); ++i) sums[i] += rule->weight() * points[i];
  }
  const std::int64_t most = *std::ranges::max_element(sums);
  Nodes best;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (sums[i] == most) best.push_back(nodes[i]);
  }
  return best[std::uniform_int_distribution<std::size_t>(0, best.size() - 1)(turns->chance)];
}

}  // namespace

Placement place(const PodInfo& pod, const ClusterState& cluster, Turns* turns) {
  const std::size_t count = cluster.nodes().size();
  Placement placement;
  if (count == 0) {
    placement.reason = "no nodes available to schedule pods";
    return placement;
  }
  Rules rules = all_rules(pod, cluster);
  const auto stop_at = [&](const std::string& obstacle, RuleId by) {
    placement.reason = cat("0/", count, " nodes are available: ", obstacle, ".");
    placement.refused_by.add(by);
    return placement;
  };
  const auto named = named_nodes(pod.spec());
  if (named && named->empty()) return stop_at("pod affinity terms conflict", RuleId::kNodeAffinity);
  for (const RulePtr& rule : rules) {
    if (const std::string obstacle = rule->obstacle(); !obstacle.empty()) return stop_at(obstacle, rule->id());
  }
  const NodeState* nominated = cluster.find_node(cluster.nominations.node_of(pod.key));
  if (nominated != nullptr && nominated->node != nullptr &&
      check(pod, &rules, *nominated, cluster.nominations).is_fit()) {
    placement.node = nominated->name;
    return placement;
  }
  Reasons reasons(count);
  Nodes fit;
  const auto look = [&](const NodeState& node) {
    const auto [refusal, by] = check(pod, &rules, node, cluster.nominations);
    if (refusal.is_none()) {
      fit.push_back(&node);
      return;
    }
    placement.refused_by.add(by);
    for (const std::string& reason : refusal.reasons) reasons.add(reason, 1);
    if (!refusal.is_lasting) placement.may_be_helped.push_back(&node);
  };
  if (named) {
    std::size_t looked_at = 0;
    for (const std::string& name : *named) {
      const NodeState* node = cluster.find_node(name);
      if (node == nullptr || node->node == nullptr) continue;
      look(*node);
      ++looked_at;
    }
    if (looked_at < count) placement.refused_by.add(RuleId::kNodeAffinity);
    reasons.add("node(s) didn't satisfy plugin(s) [NodeAffinity]", count - looked_at);
  } else {
    const std::size_t enough = enough_of(count);
    std::size_t at = turns->next % count;
    for (std::size_t i = 0; i < count && fit.size() < enough; ++i) {
      look(*cluster.nodes()[at]);
      at = at + 1 == count ? 0 : at + 1;
    }
    turns->next = at;
  }
  if (fit.empty()) {
    placement.reason = reasons.text();
    return placement;
  }
  placement.node = best_of(fit, rules, turns)->name;
  return placement;
}

bool may_fit(const PodInfo& pod, const NodeState& node) {
  return check(rules_of_node(pod), node).is_fit();
}

}  // namespace gantry::control::scheduling
