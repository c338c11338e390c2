// SPDX-License-Identifier: Apache-2.0
// What makes the network of a node one with its cluster's, put together: what is watched for it, and who acts on that.
// A gantryd without --modules proxy and dns, or outside of a cluster, has none. Owner: main, to the end of the process.
// Loop thread.
#pragma once

#include "agent/cluster.h"
#include "base/loop.h"
#include "cli/gantryd_options.h"
#include "proxy/cluster_objects.h"

namespace gantry::cli {

class NodeNetwork {
 public:
  // All outlive it.
  struct Parts {
    Loop& loop;
    const GantrydOptions& options;
    agent::Cluster& cluster;
  };
  // Nothing is asked yet; `cluster` has not started.
  explicit NodeNetwork(Parts parts);
  NodeNetwork(const NodeNetwork&) = delete;
  NodeNetwork& operator=(const NodeNetwork&) = delete;

  void start();
  void stop();

 private:
  const Parts parts_;
  proxy::ClusterObjects objects_;
};

}  // namespace gantry::cli
