// SPDX-License-Identifier: Apache-2.0
// Which nodes a pod fits, by all rules together. Pure; one thread.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "control/scheduler/cluster_state.h"
#include "control/scheduler/rule.h"

namespace gantry::control::scheduling {

using Rules = std::vector<RulePtr>;

// Those that look at nothing but the pod and the node, in upstream's order: the first that refuses says why.
Rules rules_of_node(const PodInfo& pod);
Rules all_rules(const PodInfo& pod, const ClusterState& cluster);

// What the first rule that refuses the node says, and which that was.
struct Check {
  Refusal refusal;
  RuleId by{};  // when it refuses

  bool is_fit() const { return refusal.is_none(); }
};
Check check(const Rules& rules, const NodeState& node);
// The same when pods that are nominated to the node may come there or not: those that are at least as important as this
// one. The rules are as before when it returns.
Check check(const PodInfo& pod, Rules* rules, const NodeState& node, const Nominations& nominations);

// What was said of how many nodes.
class Reasons {
 public:
  explicit Reasons(std::size_t nodes) : nodes_(nodes) {}
  void add(const std::string& reason, std::size_t count) {
    if (count > 0) counts_[reason] += count;
  }
  // "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable."
  std::string text() const;

 private:
  std::size_t nodes_;
  std::map<std::string, std::size_t> counts_;
};

}  // namespace gantry::control::scheduling
