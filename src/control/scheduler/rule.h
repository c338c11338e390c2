// SPDX-License-Identifier: Apache-2.0
// Rule: what is to be looked at when a pod gets a node, one file each: which nodes are out, and which are better. A
// rule is made for one pod and one state of the cluster, and asked about nodes while neither changes. Those that have
// nothing to say of a pod are not made. Reasons are upstream's. Pure; one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "control/scheduler/cluster_state.h"

namespace gantry::control::scheduling {

enum class RuleId : std::uint8_t {
  kUnschedulable,
  kNodeName,
  kTaints,
  kNodeAffinity,
  kHostPorts,
  kResources,
  kVolumeLimits,
  kVolumes,
  kVolumeZone,
  kTopologySpread,
  kPodAffinity,
  kImageLocality,
};
inline constexpr std::size_t kRuleCount = static_cast<std::size_t>(RuleId::kImageLocality) + 1;
// What upstream calls it: "NodeResourcesFit".
const char* plugin_of(RuleId id);

// Which of them.
class RuleSet {
 public:
  void add(RuleId id) { bits_ |= 1U << static_cast<unsigned>(id); }
  bool has(RuleId id) const { return (bits_ & (1U << static_cast<unsigned>(id))) != 0; }
  bool is_empty() const { return bits_ == 0; }

 private:
  std::uint32_t bits_ = 0;
};

// Why a pod can not be on a node. No reasons: it can.
struct Refusal {
  std::vector<std::string> reasons;
  bool is_lasting = false;  // whatever pods leave the node

  bool is_none() const { return reasons.empty(); }
};

inline constexpr std::int64_t kMostPoints = 100;

class Rule {
 public:
  // How much its points count.
  explicit Rule(RuleId id, std::int64_t weight = 0) : id_(id), weight_(weight) {}
  virtual ~Rule() = default;
  RuleId id() const { return id_; }
  std::int64_t weight() const { return weight_; }

  // Why no node at all will do; empty: one may.
  virtual std::string obstacle() const { return {}; }
  virtual Refusal check(const NodeState&) const { return {}; }
  // From now on it is as if the pod had come to the node (`more` is 1), or had left it (-1). What the rule asks the
  // node itself in check() is not its matter.
  virtual void count(const PodInfo&, const NodeState&, int /*more*/) {}
  // 0 to 100 points for each; none at all: it makes no difference between them.
  virtual std::vector<std::int64_t> rate(std::span<const NodeState* const>) const { return {}; }

 private:
  const RuleId id_;
  const std::int64_t weight_;
};
using RulePtr = std::unique_ptr<Rule>;

// The node is not to get pods.
RulePtr unschedulable_rule(const PodInfo& pod);
// The pod names its node.
RulePtr node_name_rule(const PodInfo& pod);
RulePtr taints_rule(const PodInfo& pod);
// spec.nodeSelector, and the node affinity.
RulePtr node_affinity_rule(const PodInfo& pod);
RulePtr host_ports_rule(const PodInfo& pod);
// What is left of the node's resources.
RulePtr resources_rule(const PodInfo& pod);
// That a node's CPU and memory are used to the same part.
RulePtr balance_rule(const PodInfo& pod);
// Where the pod's persistent volumes are, or can be.
RulePtr volumes_rule(const PodInfo& pod, const ClusterState& cluster);
// How many volumes of its drivers the node can have.
RulePtr volume_limits_rule(const PodInfo& pod, const ClusterState& cluster);
// In which zone its volumes are, by their labels.
RulePtr volume_zone_rule(const PodInfo& pod, const ClusterState& cluster);
RulePtr topology_spread_rule(const PodInfo& pod, const ClusterState& cluster);
// Affinity and anti-affinity to other pods, the pod's own and theirs.
RulePtr pod_affinity_rule(const PodInfo& pod, const ClusterState& cluster);
// That images need not be pulled.
RulePtr image_locality_rule(const PodInfo& pod, const ClusterState& cluster);

// Makes the best of what was counted 100 points and the others parts of it; with `fewest`, the least of it.
std::vector<std::int64_t> scaled(std::vector<std::int64_t> counts, bool fewest);

}  // namespace gantry::control::scheduling
