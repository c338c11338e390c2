// SPDX-License-Identifier: Apache-2.0
// What load balancers ask a node: on each Service's healthCheckNodePort whether the node has endpoints of it, and on
// port 10256 (/healthz, /livez) whether it serves Services at all; in kube-proxy's words. Plain HTTP, for it says
// nothing else. A port that somebody else has is tried again every ten seconds, and said once. Loop thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "http/server.h"
#include "proxy/service_rules.h"

namespace gantry::proxy {

class HealthPorts {
 public:
  using Clock = std::chrono::system_clock;
  // By Service, "namespace/name".
  using Checks = std::map<std::string, HealthCheck>;

  explicit HealthPorts(Loop& loop);
  ~HealthPorts();
  HealthPorts(const HealthPorts&) = delete;
  HealthPorts& operator=(const HealthPorts&) = delete;

  // From now on these are answered, on all addresses of the node. Ports of others are closed.
  void set_checks(const Checks& checks);
  // The rules are what they should be, or (`failing`) have not been since a sync that failed.
  void set_synced(bool failing);
  // A node that is about to go takes no new connections from load balancers.
  void set_leaving(bool leaving);
  void stop();

 private:
  struct State;
  struct Port;
  Task<> serve(std::shared_ptr<Port> port);
  void open(std::uint16_t number, http::Handler handler);

  Loop& loop_;
  std::shared_ptr<State> state_;  // handlers may outlive this
  std::map<std::uint16_t, std::shared_ptr<Port>> ports_;
};

}  // namespace gantry::proxy
