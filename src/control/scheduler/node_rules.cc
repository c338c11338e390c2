// SPDX-License-Identifier: Apache-2.0
// The node that the pod names, and nodes that are not to get pods.
#include "api/kinds/core/node_fit.h"
#include "control/scheduler/rule.h"

namespace gantry::control::scheduling {

namespace {

class UnschedulableRule final : public Rule {
 public:
  explicit UnschedulableRule(const PodInfo& pod) : Rule(RuleId::kUnschedulable) {
    static const std::string kKey = "node.kubernetes.io/unschedulable", kValue, kEffect = "NoSchedule";
    is_borne_ = api::tolerates(pod.spec(), {kKey, kValue, kEffect});
  }
  Refusal check(const NodeState& node) const override {
    if (is_borne_ || !node.node->spec().unschedulable()) return {};
    return {{"node(s) were unschedulable"}, /*is_lasting=*/true};
  }

 private:
  bool is_borne_ = false;
};

class NodeNameRule final : public Rule {
 public:
  explicit NodeNameRule(const PodInfo& pod) : Rule(RuleId::kNodeName), name_(pod.spec().node_name()) {}
  Refusal check(const NodeState& node) const override {
    if (node.name == name_) return {};
    return {{"node(s) didn't match the requested node name"}, /*is_lasting=*/true};
  }

 private:
  const std::string& name_;
};

}  // namespace

RulePtr unschedulable_rule(const PodInfo& pod) { return std::make_unique<UnschedulableRule>(pod); }

RulePtr node_name_rule(const PodInfo& pod) {
  if (pod.spec().node_name().empty()) return nullptr;
  return std::make_unique<NodeNameRule>(pod);
}

}  // namespace gantry::control::scheduling
