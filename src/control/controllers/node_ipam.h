// SPDX-License-Identifier: Apache-2.0
// Gives each node its part of the pods' networks (spec.podCIDRs), one a family. What a node has stays; what a removed
// node had is free again. When nothing is left the node is told of it by an event (CIDRNotAvailable), and waits.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "api/ip_network.h"
#include "control/controllers/controller.h"
#include "control/controllers/event_recorder.h"

namespace k8s::io::api::core::v1 {
class Node;
}

namespace gantry::control {

struct NodeNetworks {
  std::vector<api::IpNetwork> cluster;  // one a family
  int prefix_v4 = 24;                   // of a node's part
  int prefix_v6 = 64;
};

class NodeIpamController final : public Controller {
 public:
  NodeIpamController(ControllerParts parts, NodeNetworks networks);
  void start() override { queue_.start(); }

 private:
  Task<Status> work(std::string name);
  Result<api::IpNetwork> choose(const api::IpNetwork& cluster) const;
  std::vector<api::IpNetwork> choose_for(const k8s::io::api::core::v1::Node& node);

  ControllerParts parts_;
  const NodeNetworks networks_;
  std::vector<api::IpNetwork> given_;  // by this one, and perhaps not seen yet
  // By uid, of those given: what nobody knows to be written.
  std::map<std::string, std::vector<api::IpNetwork>> unsure_;
  EventRecorder events_;
  std::map<std::string, std::string> waiting_;  // for a part: names and uids
  api::WorkQueue queue_;
};

}  // namespace gantry::control
