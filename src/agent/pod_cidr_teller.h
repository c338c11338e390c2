// SPDX-License-Identifier: Apache-2.0
// PodCidrTeller: tells the runtime which addresses the cluster gives this node's pods, the Node's spec.podCIDRs, as
// kubelet does: as soon as the Node has them, and when they are others. What the runtime refuses (pods with other
// addresses run) it is told again, after a pause that grows to half a minute.
//
// Owner: main, to the end of the process. Loop thread.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "agent/cluster.h"
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

  void start();
  void stop();

 private:
  Task<> run();
  // Separated by commas; "" as long as there are none.
  std::string wanted() const;

  Cluster& cluster_;
  cri::RuntimeService& runtime_;
  const std::function<void()> told_;
  const Duration first_pause_;
  Event node_changed_;
  bool stopped_ = false;
};

}  // namespace gantry::agent
