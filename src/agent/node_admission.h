// SPDX-License-Identifier: Apache-2.0
// NodeAdmission: asks admission.h with the Node as the cluster has it. As long as the Node was not read, nobody knows;
// a pod that only its labels speak against is asked again with the Node of this moment, for what was seen of it may be
// older than what the pod was bound by.
//
// Owner: the agent. Loop thread, the cluster's. The cluster outlives the loop's last turn.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "agent/admission.h"
#include "agent/cluster.h"

namespace gantry::agent {

class NodeAdmission {
 public:
  struct Answer {
    bool is_known = true;  // false: `changed` is called when to ask again
    std::optional<Waiting> refused = {};
  };

  // `cluster` null: a node that stands alone. To be made before the cluster is started.
  NodeAdmission(Cluster* cluster, AdmissionRules rules, std::function<void()> changed);
  // Stops it.
  ~NodeAdmission();
  NodeAdmission(const NodeAdmission&) = delete;
  NodeAdmission& operator=(const NodeAdmission&) = delete;

  Answer ask(const k8s::io::api::core::v1::Pod& pod, bool is_static,
             const std::vector<std::shared_ptr<const k8s::io::api::core::v1::Pod>>& others);
  void stop();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::agent
