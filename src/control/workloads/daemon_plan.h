// SPDX-License-Identifier: Apache-2.0
// What is to be done next for a DaemonSet: one pod on each node that shall have one, and a new template brought to them
// bit by bit. Pure: objects in, writes out; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/workloads/daemon_nodes.h"

namespace gantry::control::workloads {

class DaemonPlanner {
 public:
  using PodPtr = std::shared_ptr<const k8s::io::api::core::v1::Pod>;
  using NodePtr = std::shared_ptr<const k8s::io::api::core::v1::Node>;
  // The set must outlive it. `pods` are the set's, `hashes` those of its template's revisions, `now` in seconds since
  // 1970.
  DaemonPlanner(const k8s::io::api::apps::v1::DaemonSet& set, const std::vector<NodePtr>& nodes,
                const std::vector<PodPtr>& pods, std::set<std::string> hashes, std::int64_t now);

  struct Plan {
    std::vector<std::string> nodes;  // that get a pod
    std::vector<PodPtr> removed;
    // To be removed, too: the failed ones not too often, so that who refuses a pod is not asked again at once.
    std::vector<PodPtr> failed, succeeded;
  };
  // One pod for each node that shall have one, and none for others.
  Plan keep() const;
  // A step from the old template to the new one; only when keep() has nothing to do, and the strategy is RollingUpdate.
  Plan roll() const;

  // The set's, without observedGeneration, collisionCount and conditions.
  k8s::io::api::apps::v1::DaemonSetStatus status() const;
  // In how many seconds a pod that is ready will be available.
  std::optional<std::int64_t> wait() const;

 private:
  // A node, or what pods say is one.
  struct Place {
    bool exists = false;
    NodeFit fit;
    std::vector<PodPtr> pods;  // those with a node first, then the oldest
  };
  // At most one of each template that is not ending; `is_clear` is false when there are more.
  struct Versions {
    PodPtr updated, old;
    bool is_clear = true;
  };
  Versions versions_on(const Place& place) const;
  void keep_on(const std::string& node, const Place& place, Plan* plan) const;
  void keep_two(std::vector<PodPtr> running, Plan* plan) const;
  Plan roll_by_replacing(int most_unavailable) const;
  Plan roll_by_surging(int most_surge, int desired) const;
  bool is_updated(const PodPtr& pod) const;
  bool is_available(const PodPtr& pod) const;
  int desired() const;
  bool allows_surge() const;

  const k8s::io::api::apps::v1::DaemonSet& set_;
  const std::set<std::string> hashes_;
  const std::int64_t now_;
  std::map<std::string, Place> places_;
};

}  // namespace gantry::control::workloads
