// SPDX-License-Identifier: Apache-2.0
// PodCidrTeller: tells the runtime which addresses the cluster gives this node's pods, the Node's spec.podCIDRs, as
// kubelet does: as soon as the Node has them, and when they are others. What the runtime refuses (pods with other
// addresses run) it is told again, after a pause that grows to half a minute. When no pod gets an address meanwhile,
// those that are in the way are to go: on_in_the_way().
//
// Owner: main, to the end of the process. Loop thread.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "agent/cluster.h"
#include "api/ip_network.h"
#include "base/loop.h"
#include "cri/runtime_service.h"

namespace gantry::agent {

class PodCidrTeller {
 public:
  // All outlive it. `told` is called when the runtime has taken them. Before cluster.start().
  PodCidrTeller(Cluster& cluster, cri::RuntimeService& runtime, std::function<void()> told,
                Duration first_pause = std::chrono::seconds(1));
  PodCidrTeller(const PodCidrTeller&) = delete;
  PodCidrTeller& operator=(const PodCidrTeller&) = delete;

  // `in_the_way` is called with the ranges that the runtime does not take because of pods with other addresses, while
  // it has no range at all; with none when it has taken them. Before start().
  void on_in_the_way(std::function<void(std::vector<api::IpNetwork>)> in_the_way) {
    in_the_way_ = std::move(in_the_way);
  }

  void start();
  void stop();

 private:
  Task<> run();
  Task<bool> has_network();
  // Separated by commas; "" as long as there are none.
  std::string wanted() const;

  Cluster& cluster_;
  cri::RuntimeService& runtime_;
  const std::function<void()> told_;
  std::function<void(std::vector<api::IpNetwork>)> in_the_way_;
  const Duration first_pause_;
  Event node_changed_;
  bool stopped_ = false;
};

}  // namespace gantry::agent
