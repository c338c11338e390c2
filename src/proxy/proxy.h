// SPDX-License-Identifier: Apache-2.0
// The service proxy of a node: what the API server says of Services, EndpointSlices and this Node becomes rules of the
// kernel. The first sync waits until all three are known; then everything is replaced at once, and from there on what
// changed is changed, together with what else came while the last change was under way. A sync that fails is repeated
// as a whole, after a pause that doubles from 100 ms to 30 s. When gantryd ends, the rules stay, and the next one takes
// them over; while the API server is away, they stay as they are.
//
// Owner: main, to the end of the process. Loop thread; the backend is called on a thread of its own.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/loop.h"
#include "proxy/backend.h"
#include "proxy/cluster_objects.h"
#include "proxy/health_ports.h"
#include "proxy/service_rules.h"
#include "proxy/udp_flows.h"

namespace gantry::proxy {

class Proxy {
 public:
  struct Parts {
    Loop& loop;
    ClusterObjects& objects;  // not started yet
    // Blocks; asked until it gives one.
    std::function<Result<std::unique_ptr<Backend>>()> open;
    // Where the cluster's pods are; nothing: the ranges of the own Node.
    std::optional<netns::Cidr> pods;
    // By "namespace/name": services that this node answers for itself; their rules lead to it. Null: none. What it says
    // of one changes with that service and its slices alone.
    std::function<bool(const std::string& service)> is_answered_here;
  };
  explicit Proxy(Parts parts);
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  void start();
  void stop();
  // Somebody else changed the kernel's rules: all of ours are made anew.
  void replace_all();

 private:
  Task<> run();
  Task<> wait_for_objects();
  Task<Status> sync();
  Task<> forget_flows();
  bool take_node();
  void refresh(const std::string& service, RuleChanges* changes);
  void refresh_all();
  void touch(const std::string& service);

  const Parts parts_;
  Pool thread_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<HealthPorts> health_;  // from the first sync on
  HealthPorts::Checks checks_;
  Event wake_, node_known_;
  bool stopped_ = false;
  bool replace_ = true;  // the next sync makes all anew
  bool node_changed_ = true;
  NodeView node_;
  std::vector<netns::Cidr> pods_;
  std::set<std::string> dirty_;  // services, "namespace/name"
  UdpFlows flows_;           // of what changed since the last sync that succeeded
  ServiceRules rules_;  // as they should be
  struct Known {
    std::vector<std::string> rules;
    std::vector<std::string> refused;  // what has been said already
  };
  std::unordered_map<std::string, Known> services_;
};

}  // namespace gantry::proxy
