// SPDX-License-Identifier: Apache-2.0
// Which node a pod gets: all rules are asked which nodes are fit, and then which of these is the best. Pure but for the
// turns that nodes take; one thread.
#pragma once

#include <cstddef>
#include <random>
#include <string>
#include <vector>

#include "control/scheduler/cluster_state.h"
#include "control/scheduler/rule.h"

namespace gantry::control::scheduling {

// Of a large cluster not every node is looked at for every pod: the next one begins where the last one ended. Of
// equally good nodes chance takes one.
struct Turns {
  std::size_t next = 0;
  std::minstd_rand chance;
};

struct Placement {
  std::string node;    // empty: there is none
  std::string reason;  // then: "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable."
  RuleSet refused_by;  // then: those that refused a node
  // Then: the nodes that were refused only for pods that are there. As long as the cluster does not change.
  std::vector<const NodeState*> may_be_helped;
};

// A node that the pod is nominated to is taken if it fits, whatever others are like.
Placement place(const PodInfo& pod, const ClusterState& cluster, Turns* turns);

// Whether the pod can be on the node by what the two of them say alone, without a look at other nodes: a node of which
// this does not hold is of no use to the pod, whatever happens elsewhere. Precondition: the node is known.
bool may_fit(const PodInfo& pod, const NodeState& node);

}  // namespace gantry::control::scheduling
