// SPDX-License-Identifier: Apache-2.0
// Claims that wait for their first consumer: which volume each gets when the pod gets that node. Pure; one thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/scheduler/cluster_state.h"

namespace gantry::control::scheduling {

struct VolumeChoice {
  std::shared_ptr<const k8s::io::api::core::v1::PersistentVolumeClaim> claim;
  // null: one is to be made for that node.
  std::shared_ptr<const k8s::io::api::core::v1::PersistentVolume> volume;
};

// Nothing: there are not enough of them. Claims that are bound, or that do not wait, are not among them.
std::optional<std::vector<VolumeChoice>> choose_volumes(const PodInfo& pod, const ClusterState& cluster,
                                                        const NodeState& node);

// Whether each of the pod's claims has its volume, and that can be used on the node.
bool has_volumes(const PodInfo& pod, const ClusterState& cluster, const NodeState& node);

}  // namespace gantry::control::scheduling
