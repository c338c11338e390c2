// SPDX-License-Identifier: Apache-2.0
#include "control/services/load_balancers.h"

#include <algorithm>
#include <iterator>

#include "api/ip_network.h"
#include "control/services/names.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/discovery/v1/endpoint_slice.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::services {

namespace core = k8s::io::api::core::v1;
using k8s::io::api::discovery::v1::EndpointSlice;

namespace {

constexpr char kFinalizer[] = "service.kubernetes.io/load-balancer-cleanup";
constexpr char kExcluded[] = "node.kubernetes.io/exclude-from-external-load-balancers";
constexpr char kAboutToGo[] = "ToBeDeletedByClusterAutoscaler";
constexpr char kByBalancer[] = "load balancer";  // an index of slices by their service

// One of another class is somebody else's.
bool is_balanced(const core::Service& service) {
  return service.spec().type() == "LoadBalancer" && !service.spec().has_load_balancer_class() &&
         !service.metadata().has_deletion_timestamp();
}

// What nodes answer themselves: a service there would take them away from their cluster.
bool takes_nodes_ports(const core::Service& service) {
  constexpr int kNodesOwn[] = {22, 2379, 2380, 6443, 8472, 10250, 10256, 10257, 10259};
  return std::ranges::any_of(service.spec().ports(), [&](const auto& port) {
    return std::ranges::find(kNodesOwn, port.port()) != std::end(kNodesOwn);
  });
}

bool is_local(const core::Service& service) { return service.spec().external_traffic_policy() == "Local"; }

bool has_finalizer(const core::Service& service) {
  return std::ranges::find(service.metadata().finalizers(), kFinalizer) != service.metadata().finalizers().end();
}

// One of another class has the finalizer of whoever serves that.
bool is_to_be_let_go(const core::Service& service) {
  return has_finalizer(service) &&
         (service.metadata().has_deletion_timestamp() || service.spec().type() != "LoadBalancer");
}

// What a node says of its addresses may be any text.
std::vector<std::string> addresses_of(const core::Node& node, const std::string& family) {
  std::vector<std::string> found;
  for (const char* type : {"ExternalIP", "InternalIP"}) {
    for (const core::NodeAddress& address : node.status().addresses()) {
      if (address.type() != type) continue;
      const Result<api::IpAddress> ip = api::parse_ip(address.address());
      if (ip && ip->is_v6 == (family == "IPv6")) found.push_back(address.address());
    }
    if (!found.empty()) break;
  }
  return found;
}

// What of a node a service's addresses depend on.
std::vector<std::string> offer_of(const api::Message* message) {
  const auto* node = static_cast<const core::Node*>(message);
  if (node == nullptr || !is_balanced_to(*node)) return {};
  std::vector<std::string> offer = addresses_of(*node, "IPv4");
  std::ranges::move(addresses_of(*node, "IPv6"), std::back_inserter(offer));
  return offer;
}

bool has_addresses(const core::Service& service, const std::vector<std::string>& addresses) {
  return std::ranges::equal(service.status().load_balancer().ingress(), addresses, [](const auto& has, const auto& ip) {
    return has.ip() == ip && has.hostname().empty() && has.ip_mode() == "VIP" && has.ports().empty();
  });
}

}  // namespace

bool is_balanced_to(const core::Node& node) {
  if (node.metadata().has_deletion_timestamp() || node.metadata().labels().contains(kExcluded)) return false;
  if (std::ranges::any_of(node.spec().taints(), [](const auto& taint) { return taint.key() == kAboutToGo; })) {
    return false;
  }
  return std::ranges::any_of(node.status().conditions(), [](const auto& condition) {
    return condition.type() == "Ready" && condition.status() == "True";
  });
}

std::vector<std::string> balancer_addresses(const core::Service& service,
                                            const std::vector<std::shared_ptr<const core::Node>>& nodes,
                                            const std::set<std::string>& with_endpoints) {
  if (takes_nodes_ports(service)) return {};
  std::vector<std::string> out;
  for (const std::string& family : service.spec().ip_families()) {
    for (const auto& node : nodes) {
      if (!is_balanced_to(*node)) continue;
      if (is_local(service) && !with_endpoints.contains(node->metadata().name())) continue;
      std::ranges::move(addresses_of(*node, family), std::back_inserter(out));
    }
  }
  return out;
}

LoadBalancerController::LoadBalancerController(ControllerParts parts)
    : parts_(std::move(parts)),
      events_(parts_, "service-controller"),
      queue_(parts_.queues(), "service", [this](std::string key) { return work(key); }) {
  parts_.informers.of<core::Service>().on_change([this](const api::Informer::Change& change) {
    const auto& service = static_cast<const core::Service&>(change.object());
    if (change.now == nullptr) {
      gathering_.forget(key_of(service));
    } else if (is_balanced(service) || is_to_be_let_go(service)) {
      gathering_.add(key_of(service));
    }
  });
  parts_.informers.of<core::Node>().on_change([this](const api::Informer::Change& change) {
    if (offer_of(change.before.get()) == offer_of(change.now.get())) return;
    for (const auto& service : parts_.informers.of<core::Service>().objects()) {
      if (is_balanced(*service)) gathering_.add(key_of(*service));
    }
  });
  auto& slices = parts_.informers.of<EndpointSlice>();
  slices.add_index(kByBalancer, [](const api::Message& message) -> std::vector<std::string> {
    const auto& metadata = static_cast<const EndpointSlice&>(message).metadata();
    const auto found = metadata.labels().find(kServiceName);
    if (found == metadata.labels().end()) return {};
    return {api::object_key(metadata.namespace_(), found->second)};
  });
  slices.on_change([this](const api::Informer::Change& change) {
    const auto& metadata = static_cast<const EndpointSlice&>(change.object()).metadata();
    const auto found = metadata.labels().find(kServiceName);
    if (found == metadata.labels().end()) return;
    const auto service = parts_.informers.of<core::Service>().find(metadata.namespace_(), found->second);
    if (service != nullptr && is_balanced(*service) && is_local(*service)) gathering_.add(key_of(*service));
  });
}

std::set<std::string> LoadBalancerController::nodes_with_endpoints(const std::string& key) const {
  std::set<std::string> nodes;
  for (const auto& slice : parts_.informers.of<EndpointSlice>().by(kByBalancer, key)) {
    for (const auto& endpoint : slice->endpoints()) {
      const bool is_ready = !endpoint.conditions().has_ready() || endpoint.conditions().ready();
      if (endpoint.has_node_name() && is_ready) nodes.insert(endpoint.node_name());
    }
  }
  return nodes;
}

Task<Status> LoadBalancerController::work(std::string key) {
  const auto service = parts_.informers.of<core::Service>().find_key(key);
  if (service == nullptr || !is_balanced(*service)) {
    gathering_.forget(key);
    if (service != nullptr && is_to_be_let_go(*service)) co_return co_await let_go(*service);
    co_return Status();
  }
  const auto nodes = parts_.informers.of<core::Node>().objects();
  gathering_.begin(key, nodes.size());
  std::set<std::string> with_endpoints;
  if (is_local(*service)) with_endpoints = nodes_with_endpoints(key);
  const auto addresses = balancer_addresses(*service, nodes, with_endpoints);
  const bool is_new = !has_finalizer(*service);
  if (!is_new && has_addresses(*service, addresses)) co_return Status();
  if (is_new) events_.normal(events_.about(*service), "EnsuringLoadBalancer", "Ensuring load balancer");
  core::Service updated = *service;
  if (is_new) updated.mutable_metadata()->add_finalizers(kFinalizer);
  auto* status = updated.mutable_status()->mutable_load_balancer();
  status->clear_ingress();
  for (const std::string& address : addresses) {
    core::LoadBalancerIngress* ingress = status->add_ingress();
    ingress->set_ip(address);
    ingress->set_ip_mode("VIP");
  }
  const api::Answer<core::Service> written = co_await parts_.client.update_status(updated);
  if (!written) co_return done_or_late(written);
  if (takes_nodes_ports(*service)) {
    events_.warning(events_.about(*service), "SyncLoadBalancerFailed",
                    "Error syncing load balancer: one of its ports is the nodes' own");
  } else if (addresses.empty()) {
    events_.warning(events_.about(*service), "UnAvailableLoadBalancer",
                    "There are no available nodes for LoadBalancer");
  } else if (is_new) {
    events_.normal(events_.about(*service), "EnsuredLoadBalancer", "Ensured load balancer");
  } else {
    events_.normal(events_.about(*service), "UpdatedLoadBalancer", "Updated load balancer with new hosts");
  }
  co_return Status();
}

Task<Status> LoadBalancerController::let_go(const core::Service& service) {
  const EventRecorder::About about = events_.about(service);
  events_.normal(about, "DeletingLoadBalancer", "Deleting load balancer");
  core::Service updated = service;
  auto& finalizers = *updated.mutable_metadata()->mutable_finalizers();
  finalizers.erase(std::ranges::find(finalizers, kFinalizer));
  updated.mutable_status()->clear_load_balancer();
  const api::Answer<core::Service> written = co_await parts_.client.update_status(updated);
  if (written) events_.normal(about, "DeletedLoadBalancer", "Deleted load balancer");
  co_return done_or_late(written);
}

}  // namespace gantry::control::services
