// SPDX-License-Identifier: Apache-2.0
// What makes the network of a node one with its cluster's, put together: what is watched for it, and who acts on that.
// A gantryd outside of a cluster has none. Owner: main, to the end of the process.
// Loop thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/agent.h"
#include "agent/cluster.h"
#include "base/layout.h"
#include "base/loop.h"
#include "cgroups/hierarchy.h"
#include "cli/gantryd_options.h"
#include "netns/pod_network.h"
#include "proxy/cluster_objects.h"
#include "proxy/dns/node_dns.h"
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
    const NodeFolders& folders;
    std::string instance;                 // the mark of what is made
    const cgroups::Hierarchy* hierarchy;  // null: there is none
    Pool& disk;
    const agent::AgentConfig& settings;
    // The servers that pods are to ask. Called on the loop, after start().
    std::function<void(std::vector<std::string>)> use_cluster_dns;
  };
  // Nothing is asked yet; `cluster` has not started.
  explicit NodeNetwork(Parts parts);
  NodeNetwork(const NodeNetwork&) = delete;
  NodeNetwork& operator=(const NodeNetwork&) = delete;

  void start();
  void stop();
  // The pods' network has another range.
  void look_again();
  // What its parts have counted, in Prometheus' text form.
  std::string metrics() const;

 private:
  void make_dns();
  Result<std::unique_ptr<proxy::Backend>> open_backend();
  void remove_rules();

  const Parts parts_;
  proxy::ClusterObjects objects_;
  std::unique_ptr<proxy::nftables::Watcher> watcher_;
  std::unique_ptr<proxy::Proxy> proxy_;             // null: no --modules proxy
  std::unique_ptr<proxy::PeerRoutes> peer_routes_;  // null: they are not ours to make
  std::unique_ptr<dns::NodeDns> dns_;               // null: another answers
};

}  // namespace gantry::cli
