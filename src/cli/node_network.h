// SPDX-License-Identifier: Apache-2.0
// What makes the network of a node one with its cluster's, put together: what is watched for it, and who acts on that.
// A gantryd outside of a cluster has none. Owner: main, to the end of the process.
// Loop thread.
#pragma once

#include <memory>
#include <string>

#include "agent/cluster.h"
#include "base/loop.h"
#include "cli/gantryd_options.h"
#include "netns/pod_network.h"
#include "proxy/cluster_objects.h"
#include "proxy/nftables/watcher.h"
#include "proxy/peer_routes.h"
#include "proxy/proxy.h"

namespace gantry::cli {

class NodeNetwork {
 public:
  // All outlive it.
  struct Parts {
    Loop& loop;
    const GantrydOptions& options;
    agent::Cluster& cluster;
    netns::PodNetwork* pods;  // null: the pods' network is somebody else's
    Pool* pool;               // of the network; null without it
    std::string instance;     // the mark of what is made
  };
  // Nothing is asked yet; `cluster` has not started.
  explicit NodeNetwork(Parts parts);
  NodeNetwork(const NodeNetwork&) = delete;
  NodeNetwork& operator=(const NodeNetwork&) = delete;

  void start();
  void stop();

 private:
  Result<std::unique_ptr<proxy::Backend>> open_backend();

  const Parts parts_;
  proxy::ClusterObjects objects_;
  std::unique_ptr<proxy::nftables::Watcher> watcher_;
  std::unique_ptr<proxy::Proxy> proxy_;             // null: no --modules proxy
  std::unique_ptr<proxy::PeerRoutes> peer_routes_;  // null: they are not ours to make
};

}  // namespace gantry::cli
