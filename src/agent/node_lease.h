// SPDX-License-Identifier: Apache-2.0
// NodeLease: the node's sign of life, a Lease of its name in kube-node-lease, renewed four times within the time that
// it is good for. It begins when the Node is there, whose it is; it is made again when somebody removes it. Nothing
// stops it but stop().
//
// Owner: main, to the end of the process. Loop thread.
#pragma once

#include <cstdint>
#include <memory>

#include "agent/cluster.h"

namespace k8s::io::api::coordination::v1 {
class Lease;
}

namespace gantry::agent {

class NodeLease {
 public:
  // `cluster` outlives it. Before cluster.start().
  NodeLease(Cluster& cluster, std::int32_t seconds);
  ~NodeLease();
  NodeLease(const NodeLease&) = delete;
  NodeLease& operator=(const NodeLease&) = delete;

  void start();
  void stop();

 private:
  using Lease = k8s::io::api::coordination::v1::Lease;

  Task<> run();
  Task<api::Answer<void>> renew();
  void fill(Lease* lease, const std::string& node_uid) const;

  Cluster& cluster_;
  const std::int32_t seconds_;
  std::unique_ptr<Lease> held_;  // as the server has it, if that is known
  Event node_there_;
  bool stopped_ = false;
};

}  // namespace gantry::agent
