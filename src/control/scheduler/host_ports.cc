// SPDX-License-Identifier: Apache-2.0
// Ports of the node that the pod wants for itself.
#include <algorithm>

#include "control/scheduler/rule.h"

namespace gantry::control::scheduling {

namespace {

constexpr char kAnyAddress[] = "0.0.0.0";

bool is_in_the_way(const HostPort& wanted, const HostPort& taken) {
  return wanted.protocol == taken.protocol &&
         (wanted.ip == taken.ip || wanted.ip == kAnyAddress || taken.ip == kAnyAddress);
}

class HostPortsRule final : public Rule {
 public:
  explicit HostPortsRule(const PodInfo& pod) : Rule(RuleId::kHostPorts), ports_(pod.ports) {}

  Refusal check(const NodeState& node) const override {
    for (const HostPort& wanted : ports_) {
      const auto [begin, end] = node.ports.equal_range(wanted.port);
      const bool is_taken = std::any_of(begin, end, [&](const auto& e) { return is_in_the_way(wanted, e.second); });
      if (is_taken) return {{"node(s) didn't have free ports for the requested pod ports"}};
    }
    return {};
  }

 private:
  const std::vector<HostPort>& ports_;
};

}  // namespace

RulePtr host_ports_rule(const PodInfo& pod) {
  if (pod.ports.empty()) return nullptr;
  return std::make_unique<HostPortsRule>(pod);
}

}  // namespace gantry::control::scheduling
