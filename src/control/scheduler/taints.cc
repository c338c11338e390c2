// SPDX-License-Identifier: Apache-2.0
// Taints keep pods off that do not tolerate them; those that only ask for it make a node less good.
#include <algorithm>

#include "api/kinds/core/node_fit.h"
#include "control/scheduler/rule.h"

namespace gantry::control::scheduling {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr char kPreferNoSchedule[] = "PreferNoSchedule";
constexpr std::int64_t kWeight = 3;

api::TaintView view(const core::Taint& taint) { return {taint.key(), taint.value(), taint.effect()}; }

class TaintsRule final : public Rule {
 public:
  explicit TaintsRule(const PodInfo& pod) : Rule(RuleId::kTaints, kWeight), spec_(pod.spec()) {}

  Refusal check(const NodeState& node) const override {
    const bool is_borne = std::ranges::all_of(node.node->spec().taints(), [&](const core::Taint& taint) {
      return taint.effect() == kPreferNoSchedule || api::tolerates(spec_, view(taint));
    });
    if (is_borne) return {};
    return {{"node(s) had untolerated taint(s)"}, /*is_lasting=*/true};
  }

  std::vector<std::int64_t> rate(std::span<const NodeState* const> nodes) const override {
    std::vector<std::int64_t> counts;
    for (const NodeState* node : nodes) {
      counts.push_back(std::ranges::count_if(node->node->spec().taints(), [&](const core::Taint& taint) {
        return taint.effect() == kPreferNoSchedule && !api::tolerates(spec_, view(taint));
      }));
    }
    return scaled(std::move(counts), true);
  }

 private:
  const core::PodSpec& spec_;
};

}  // namespace

RulePtr taints_rule(const PodInfo& pod) { return std::make_unique<TaintsRule>(pod); }

}  // namespace gantry::control::scheduling
