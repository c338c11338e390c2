// SPDX-License-Identifier: Apache-2.0
// Nodes that the pod selects by their labels or names, and those that it would rather have.
#include "api/kinds/core/node_fit.h"
#include "control/scheduler/rule.h"

namespace gantry::control::scheduling {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr std::int64_t kWeight = 2;

class NodeAffinityRule final : public Rule {
 public:
  explicit NodeAffinityRule(const PodInfo& pod) : Rule(RuleId::kNodeAffinity, kWeight), spec_(pod.spec()) {
    const auto& affinity = pod.spec().affinity().node_affinity();
    for (const auto& term : affinity.preferred_during_scheduling_ignored_during_execution()) {
      Preference preference{.weight = term.weight()};
      *preference.nodes.add_node_selector_terms() = term.preference();
      preferences_.push_back(std::move(preference));
    }
  }

  Refusal check(const NodeState& node) const override {
    if (api::selects_node(spec_, {node.name, node.node->metadata().labels()})) return {};
    return {{"node(s) didn't match Pod's node affinity/selector"}, /*is_lasting=*/true};
  }

  std::vector<std::int64_t> rate(std::span<const NodeState* const> nodes) const override {
    if (preferences_.empty()) return {};
    std::vector<std::int64_t> sums;
    for (const NodeState* node : nodes) {
      std::int64_t sum = 0;
      for (const Preference& preference : preferences_) {
        const bool holds = api::selects_node(preference.nodes, {node->name, node->node->metadata().labels()});
        if (holds) sum += preference.weight;
      }
      sums.push_back(sum);
    }
    return scaled(std::move(sums), false);
  }

 private:
  struct Preference {
    core::NodeSelector nodes;
    std::int64_t weight = 0;
  };
  const core::PodSpec& spec_;
  std::vector<Preference> preferences_;
};

}  // namespace

RulePtr node_affinity_rule(const PodInfo& pod) {
  if (pod.spec().node_selector().empty() && !pod.spec().affinity().has_node_affinity()) return nullptr;
  return std::make_unique<NodeAffinityRule>(pod);
}

}  // namespace gantry::control::scheduling
