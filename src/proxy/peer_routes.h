// SPDX-License-Identifier: Apache-2.0
// PeerRoutes: this node's way to the pods of others, as its cluster's Nodes say where they are (spec.podCIDRs, their
// InternalIPs). What Nodes claim wrongly (peer_nodes.h) and what can't be reached is told once, and hurts nobody else.
// While the API server is away all stays as it was; what somebody else took away in the kernel is put back.
//
// Owner: main, to the end of the process. Loop thread; the kernel is asked on a thread of the pool.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/loop.h"
#include "base/result.h"
#include "netns/peer_nodes.h"
#include "netns/pod_network.h"
#include "netns/route_monitor.h"
#include "proxy/cluster_objects.h"

namespace gantry::proxy {

class PeerRoutes {
 public:
  // All outlive it.
  struct Parts {
    Loop& loop;
    Pool& pool;
    ClusterObjects& objects;
    netns::PodNetwork& network;
    std::string instance;  // of the network
    netns::RouteMode mode = netns::RouteMode::kAuto;
    std::optional<netns::Cidr> cluster_cidr;
    // What people are told of this node: a sentence.
    std::function<void(const std::string&)> complain;
  };
  // Before `objects` start.
  explicit PeerRoutes(Parts parts);
  PeerRoutes(const PeerRoutes&) = delete;
  PeerRoutes& operator=(const PeerRoutes&) = delete;

  void start();
  void stop();
  // The pods' network has another range.
  void look_again() { changed_.set(); }

 private:
  // What Nodes say of all but ranges' contents.
  struct View {
    netns::OwnNode own;
    std::vector<netns::PeerNode> peers;
    std::vector<netns::RefusedNode> refused;
  };
  Task<> run();
  Task<> follow_kernel();
  View look() const;
  void tell(const std::vector<netns::RefusedNode>& refused);

  const Parts parts_;
  Event changed_;
  std::optional<netns::RouteMonitor> monitor_;
  std::set<std::string> told_;
  bool stopped_ = false;
};

}  // namespace gantry::proxy
