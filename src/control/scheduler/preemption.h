// SPDX-License-Identifier: Apache-2.0
// Preemption: for a pod that fits nowhere, the node where it would if less important pods left, and which of them have
// to. As few as may be, budgets held where that is possible; of several nodes the one where the least is lost. By
// upstream's order and in its words. Pure but for the turns that nodes take; one thread.
#pragma once

#include <string>
#include <vector>

#include "control/scheduler/cluster_state.h"
#include "control/scheduler/placement.h"

namespace gantry::control::scheduling {

struct Preemption {
  std::string node;                 // empty: none
  std::vector<PodInfoPtr> victims;  // the most important first
  bool keeps_nomination = false;    // without a node: the pod waits for the one that it has
  std::string told;                 // "preemption: ..."
};

// `placement` is why it fits nowhere. `now` counts for pods that have not started yet.
Preemption preempt(const PodInfo& pod, const Placement& placement, const ClusterState& cluster,
                   std::int64_t now_seconds, Turns* turns);

// Whether pods that had to leave the node for this one, or could have to, are about to end there.
bool awaits_victims(const PodInfo& pod, const NodeState& node);

// Whether others could make place for the pod on the node, by what the two of them say alone.
bool may_be_helped(const PodInfo& pod, const NodeState& node);

}  // namespace gantry::control::scheduling
