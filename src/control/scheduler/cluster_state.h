// SPDX-License-Identifier: Apache-2.0
// ClusterState: the nodes, and which pods are on each, as the scheduler counts them: kept up to date by single changes,
// so that placing a pod begins with nothing to add up. Pods that were given a node and are not known to have it yet
// are there, too. Pods whose node is not known are kept for when it comes.
//
// One thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "control/scheduler/disruption_budget.h"
#include "control/scheduler/nominations.h"
#include "control/scheduler/pod_counts.h"
#include "control/scheduler/pod_info.h"
#include "control/scheduler/spread_groups.h"
#include "kubernetes/core/v1/namespace.pb.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/persistent_volume.pb.h"
#include "kubernetes/core/v1/persistent_volume_claim.pb.h"
#include "kubernetes/storage/v1/csi.pb.h"
#include "kubernetes/storage/v1/storage_class.pb.h"

namespace gantry::control::scheduling {

struct NodeState {
  std::string name;
  std::uint64_t version = 0;  // another one whenever a pod comes or leaves, and unlike that of any other node
  std::shared_ptr<const k8s::io::api::core::v1::Node> node;  // null: not known
  Resources allocatable;
  std::int64_t most_pods = 0;
  Resources requested, weighed;  // the sums of `pods`
  std::vector<PodInfoPtr> pods;
  std::vector<PodInfoPtr> with_affinity;                 // those of `pods` that say something of others
  std::vector<PodInfoPtr> with_required_anti_affinity;  // and that keep others away
  std::multimap<int, HostPort> ports;                    // that pods have, by number
  std::unordered_map<std::string, std::int64_t> images;  // bytes, by each of their names

  void put(const PodInfoPtr& pod);
  void take(const PodInfoPtr& pod);  // one that is there

  // null: it has no such label.
  const std::string* label(const std::string& key) const;
};

// What there is of storage, by name (claims by "namespace/name").
struct StorageState {
  template <typename M>
  using ByName = std::unordered_map<std::string, std::shared_ptr<const M>>;
  ByName<k8s::io::api::core::v1::PersistentVolumeClaim> claims;
  ByName<k8s::io::api::core::v1::PersistentVolume> volumes;
  ByName<k8s::io::api::storage::v1::StorageClass> classes;
  ByName<k8s::io::api::storage::v1::CSINode> csi_nodes;
  std::unordered_multimap<std::string, std::string> attached;  // names of volumes, by the node's
};

class ClusterState {
 public:
  void put_node(std::shared_ptr<const k8s::io::api::core::v1::Node> node);
  void remove_node(const std::string& name);
  // In place of what was known of the pod.
  void put_pod(PodInfoPtr pod, const std::string& node);
  // The node that it was on; "" when it was on none.
  std::string remove_pod(const std::string& key);
  void put_namespace(std::shared_ptr<const k8s::io::api::core::v1::Namespace> object);
  void remove_namespace(const std::string& name);

  // Those that there are, by name.
  const std::vector<NodeState*>& nodes() const { return present_; }
  // null: there is none. Also one that is not known, as long as pods are on it.
  const NodeState* find_node(const std::string& name) const;
  // null: it is on none.
  PodInfoPtr find_pod(const std::string& key) const;
  // On how many nodes there is an image of this name.
  std::size_t nodes_with_image(const std::string& name) const;
  // How many pods on nodes use a claim, by its key.
  std::size_t pods_with_claim(const std::string& key) const;
  PodCounts& counts() const { return counts_; }
  // Whether the term means this pod.
  bool selects(const AffinityTerm& term, const PodInfo& pod) const;

  StorageState storage;
  SpreadGroups groups;
  Nominations nominations;
  DisruptionBudgets budgets;

 private:
  struct Place {
    PodInfoPtr pod;
    NodeState* node;
  };
  NodeState& node_of(const std::string& name);
  void drop_if_empty(const std::string& name);
  void count_images(const NodeState& node, int more);

  mutable PodCounts counts_;
  std::uint64_t last_version_ = 0;
  std::map<std::string, std::unique_ptr<NodeState>> nodes_;
  std::vector<NodeState*> present_;
  std::unordered_map<std::string, Place> pods_;
  std::unordered_map<std::string, std::size_t> images_;
  std::unordered_map<std::string, std::size_t> claims_;  // pods that use each
  std::unordered_map<std::string, std::shared_ptr<const k8s::io::api::core::v1::Namespace>> namespaces_;
};

}  // namespace gantry::control::scheduling
