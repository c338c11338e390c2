// SPDX-License-Identifier: Apache-2.0
// The controller of services of type LoadBalancer that name no class: their addresses are those of the nodes, where
// whoever makes services reachable takes what comes to their ports. Nothing is made anywhere: what a cloud's
// controller would balance, DNS or whoever calls has to. The addresses follow the nodes that are ready; with
// externalTrafficPolicy Local they are of those that have a ready endpoint.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "control/controllers/controller.h"
#include "control/controllers/event_recorder.h"
#include "control/services/gathering.h"

namespace k8s::io::api::core::v1 {
class Node;
class Service;
}  // namespace k8s::io::api::core::v1

namespace gantry::control::services {

// Whether a service may have the node's addresses: it is ready, is not about to go, and is not labelled
// node.kubernetes.io/exclude-from-external-load-balancers.
bool is_balanced_to(const k8s::io::api::core::v1::Node& node);
// Of the service's families, in their order: of each node those that are external, or else its internal ones.
// `with_endpoints` are the nodes that count with externalTrafficPolicy Local.
std::vector<std::string> balancer_addresses(
    const k8s::io::api::core::v1::Service& service,
    const std::vector<std::shared_ptr<const k8s::io::api::core::v1::Node>>& nodes,
    const std::set<std::string>& with_endpoints);

class LoadBalancerController final : public Controller {
 public:
  explicit LoadBalancerController(ControllerParts parts);
  void start() override { queue_.start(); }
  void stop() override { gathering_.clear(); }

 private:
  Task<Status> work(std::string key);
  Task<Status> let_go(const k8s::io::api::core::v1::Service& service);
  std::set<std::string> nodes_with_endpoints(const std::string& key) const;

  ControllerParts parts_;
  EventRecorder events_;
  api::WorkQueue queue_;
  Gathering gathering_{queue_};
};

}  // namespace gantry::control::services
