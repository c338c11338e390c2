// SPDX-License-Identifier: Apache-2.0
#include "control/scheduler/fit.h"

#include <algorithm>

#include "base/text.h"

namespace gantry::control::scheduling {

namespace {

void add(RulePtr rule, Rules* rules) {
  if (rule != nullptr) rules->push_back(std::move(rule));
}

}  // namespace

Rules rules_of_node(const PodInfo& pod) {
  Rules rules;
  add(unschedulable_rule(pod), &rules);
  add(node_name_rule(pod), &rules);
  add(taints_rule(pod), &rules);
  add(node_affinity_rule(pod), &rules);
  add(host_ports_rule(pod), &rules);
  add(resources_rule(pod), &rules);
  return rules;
}

Rules all_rules(const PodInfo& pod, const ClusterState& cluster) {
  Rules rules = rules_of_node(pod);
  add(volume_limits_rule(pod, cluster), &rules);
  add(volumes_rule(pod, cluster), &rules);
  add(volume_zone_rule(pod, cluster), &rules);
  add(topology_spread_rule(pod, cluster), &rules);
  add(pod_affinity_rule(pod, cluster), &rules);
  add(balance_rule(pod), &rules);
  add(image_locality_rule(pod, cluster), &rules);
  return rules;
}

Check check(const Rules& rules, const NodeState& node) {
  for (const RulePtr& rule : rules) {
    Refusal refusal = rule->check(node);
    if (!refusal.is_none()) return {std::move(refusal), rule->id()};
  }
  return {};
}

Check check(const PodInfo& pod, Rules* rules, const NodeState& node, const Nominations& nominations) {
  const std::vector<PodInfoPtr> awaited = nominations.not_below(pod, node.name);
  if (!awaited.empty()) {
    NodeState then = node;
    const auto count = [&](const PodInfo& other, int more) {
      for (const RulePtr& rule : *rules) rule->count(other, node, more);
    };
    for (const PodInfoPtr& other : awaited) {
      then.put(other);
      count(*other, 1);
    }
    Check with_them = check(*rules, then);
    for (const PodInfoPtr& other : awaited) count(*other, -1);
    if (!with_them.is_fit()) return with_them;
  }
  return check(*rules, node);
}

std::string Reasons::text() const {
  std::vector<std::string> parts;
  for (const auto& [reason, count] : counts_) parts.push_back(cat(count, " ", reason));
  std::ranges::sort(parts);
  std::string text = cat("0/", nodes_, " nodes are available:");
  for (std::size_t i = 0; i < parts.size(); ++i) text += cat(i == 0 ? " " : ", ", parts[i]);
  return text + ".";
}

}  // namespace gantry::control::scheduling
