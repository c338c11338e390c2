// SPDX-License-Identifier: Apache-2.0
// What is left of a node's resources: it has to be enough, better is more, and best when CPU and memory are used alike.
#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "control/scheduler/rule.h"

namespace gantry::control::scheduling {

namespace {

// Of what would be used then, how much is left.
std::int64_t left_points(std::int64_t used, std::int64_t whole) {
  if (used > whole) return 0;
  return (whole - used) * kMostPoints / whole;
}

class ResourcesRule final : public Rule {
 public:
  explicit ResourcesRule(const PodInfo& pod)
      : Rule(RuleId::kResources, 1), requests_(pod.requests), weighed_(pod.weighed) {}

  Refusal check(const NodeState& node) const override {
    Refusal refusal;
    if (static_cast<std::int64_t>(node.pods.size()) + 1 > node.most_pods) refusal.reasons.emplace_back("Too many pods");
    const Resources &has = node.allocatable, &used = node.requested;
    const auto need = [&](std::int64_t wanted, std::int64_t whole, std::int64_t taken, std::string_view name) {
      if (wanted <= 0 || wanted <= whole - taken) return;
      refusal.reasons.push_back(cat("Insufficient ", name));
      if (wanted > whole) refusal.is_lasting = true;
    };
    need(requests_.milli_cpu, has.milli_cpu, used.milli_cpu, "cpu");
    need(requests_.memory, has.memory, used.memory, "memory");
    need(requests_.ephemeral_storage, has.ephemeral_storage, used.ephemeral_storage, "ephemeral-storage");
    for (const auto& [name, wanted] : requests_.others) need(wanted, has.other(name), used.other(name), name);
    return refusal;
  }

  std::vector<std::int64_t> rate(std::span<const NodeState* const> nodes) const override {
    std::vector<std::int64_t> points;
    for (const NodeState* node : nodes) {
      std::int64_t sum = 0, count = 0;
      const auto look = [&](std::int64_t whole, std::int64_t used) {
        if (whole <= 0) return;
        sum += left_points(used, whole);
        ++count;
      };
      look(node->allocatable.milli_cpu, node->weighed.milli_cpu + weighed_.milli_cpu);
      look(node->allocatable.memory, node->weighed.memory + weighed_.memory);
      points.push_back(count == 0 ? 0 : sum / count);
    }
    return points;
  }

 private:
  const Resources& requests_;
  const Resources& weighed_;
};

class BalanceRule final : public Rule {
 public:
  explicit BalanceRule(const PodInfo& pod) : Rule(RuleId::kResources, 1), requests_(pod.requests) {}

  std::vector<std::int64_t> rate(std::span<const NodeState* const> nodes) const override {
    std::vector<std::int64_t> points;
    for (const NodeState* node : nodes) {
      const auto part = [](std::int64_t used, std::int64_t whole) {
        return std::min(1.0, static_cast<double>(used) / static_cast<double>(whole));
      };
      const Resources& has = node->allocatable;
      double difference = 0;
      if (has.milli_cpu > 0 && has.memory > 0) {
        difference = std::abs(part(node->requested.milli_cpu + requests_.milli_cpu, has.milli_cpu) -
                              part(node->requested.memory + requests_.memory, has.memory)) /
                     2;
      }
      points.push_back(static_cast<std::int64_t>((1 - difference) * static_cast<double>(kMostPoints)));
    }
    return points;
  }

 private:
  const Resources& requests_;
};

}  // namespace

RulePtr resources_rule(const PodInfo& pod) { return std::make_unique<ResourcesRule>(pod); }

RulePtr balance_rule(const PodInfo& pod) {
  // Pods without requests would all go to the node that is balanced best.
  if (pod.requests.milli_cpu == 0 && pod.requests.memory == 0) return nullptr;
  return std::make_unique<BalanceRule>(pod);
}

}  // namespace gantry::control::scheduling
