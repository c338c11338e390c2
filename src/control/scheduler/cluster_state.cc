// SPDX-License-Identifier: Apache-2.0
#include "control/scheduler/cluster_state.h"

#include <algorithm>

#include "api/quantity.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/resource/quantity.pb.h"

namespace gantry::control::scheduling {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr char kPods[] = "pods";
constexpr std::int64_t kLargestImage = std::int64_t{1} << 50;  // sums of many are numbers still

void take_out(const PodInfoPtr& pod, std::vector<PodInfoPtr>* pods) {
  const auto found = std::ranges::find(*pods, pod);
  if (found == pods->end()) return;
  *found = std::move(pods->back());
  pods->pop_back();
}

}  // namespace

const std::string* NodeState::label(const std::string& key) const {
  const auto& labels = node->metadata().labels();
  const auto found = labels.find(key);
  return found == labels.end() ? nullptr : &found->second;
}

void NodeState::put(const PodInfoPtr& pod) {
  pods.push_back(pod);
  if (pod->has_affinity()) with_affinity.push_back(pod);
  if (!pod->required_anti_affinity.empty()) with_required_anti_affinity.push_back(pod);
  requested.add(pod->requests);
  weighed.add(pod->weighed);
  for (const HostPort& port : pod->ports) ports.emplace(port.port, port);
}

void NodeState::take(const PodInfoPtr& pod) {
  take_out(pod, &pods);
  take_out(pod, &with_affinity);
  take_out(pod, &with_required_anti_affinity);
  requested.subtract(pod->requests);
  weighed.subtract(pod->weighed);
  for (const HostPort& port : pod->ports) {
    const auto [begin, end] = ports.equal_range(port.port);
    const auto same = [&](const auto& entry) {
      return entry.second.protocol == port.protocol && entry.second.ip == port.ip;
    };
    if (const auto found = std::find_if(begin, end, same); found != end) ports.erase(found);
  }
}

NodeState& ClusterState::node_of(const std::string& name) {
  std::unique_ptr<NodeState>& slot = nodes_[name];
  if (slot == nullptr) {
    slot = std::make_unique<NodeState>();
    slot->name = name;
    slot->version = ++last_version_;
  }
  return *slot;
}

void ClusterState::drop_if_empty(const std::string& name) {
  const auto found = nodes_.find(name);
  if (found != nodes_.end() && found->second->node == nullptr && found->second->pods.empty()) nodes_.erase(found);
}

void ClusterState::count_images(const NodeState& node, int more) {
  for (const auto& [name, size] : node.images) {
    const auto place = images_.try_emplace(name, 0).first;
    place->second += static_cast<std::size_t>(more);
    if (place->second == 0) images_.erase(place);
  }
}

void ClusterState::put_node(std::shared_ptr<const core::Node> object) {
  NodeState& node = node_of(object->metadata().name());
  if (node.node == nullptr) {
    const auto place = std::ranges::lower_bound(present_, node.name, {}, [](const NodeState* n) { return n->name; });
    present_.insert(place, &node);
  }
  node.node = std::move(object);
  const core::NodeStatus& status = node.node->status();
  node.allocatable = read_resources(status.allocatable());
  const auto pods = status.allocatable().find(kPods);
  node.most_pods = pods == status.allocatable().end()
                       ? 0
                       : api::Quantity::parse(pods->second.string()).value_or(api::Quantity()).value();
  count_images(node, -1);
  node.images.clear();
  for (const core::ContainerImage& image : status.images()) {
    const std::int64_t size = std::clamp<std::int64_t>(image.size_bytes(), 0, kLargestImage);
    for (const std::string& name : image.names()) node.images.emplace(name, size);
  }
  count_images(node, 1);
}

void ClusterState::remove_node(const std::string& name) {
  const auto found = nodes_.find(name);
  if (found == nodes_.end()) return;
  NodeState& node = *found->second;
  std::erase(present_, &node);
  count_images(node, -1);
  node.images.clear();
  node.node = nullptr;
  node.allocatable = {};
  node.most_pods = 0;
  drop_if_empty(name);
}

void ClusterState::put_pod(PodInfoPtr pod, const std::string& node_name) {
  remove_pod(pod->key);
  NodeState& node = node_of(node_name);
  node.put(pod);
  node.version = ++last_version_;
  for (const PodClaim& claim : pod->claims) ++claims_[claim.key];
  const std::string key = pod->key;
  pods_[key] = {std::move(pod), &node};
}

std::string ClusterState::remove_pod(const std::string& key) {
  const auto found = pods_.find(key);
  if (found == pods_.end()) return {};
  found->second.node->take(found->second.pod);
  found->second.node->version = ++last_version_;
  for (const PodClaim& claim : found->second.pod->claims) {
    if (--claims_[claim.key] == 0) claims_.erase(claim.key);
  }
  std::string node = found->second.node->name;
  pods_.erase(found);
  drop_if_empty(node);
  return node;
}

PodInfoPtr ClusterState::find_pod(const std::string& key) const {
  const auto found = pods_.find(key);
  return found == pods_.end() ? nullptr : found->second.pod;
}

void ClusterState::put_namespace(std::shared_ptr<const core::Namespace> object) {
  const std::string& name = object->metadata().name();
  namespaces_[name] = std::move(object);
}

void ClusterState::remove_namespace(const std::string& name) { namespaces_.erase(name); }

const NodeState* ClusterState::find_node(const std::string& name) const {
  const auto found = nodes_.find(name);
  return found == nodes_.end() ? nullptr : found->second.get();
}

std::size_t ClusterState::nodes_with_image(const std::string& name) const {
  const auto found = images_.find(name);
  return found == images_.end() ? 0 : found->second;
}

std::size_t ClusterState::pods_with_claim(const std::string& key) const {
  const auto found = claims_.find(key);
  return found == claims_.end() ? 0 : found->second;
}

bool ClusterState::selects(const AffinityTerm& term, const PodInfo& pod) const {
  const auto selects_namespace = [&] {
    if (term.namespace_selector.selects_nothing()) return false;
    const auto found = namespaces_.find(pod.ns());
    if (found == namespaces_.end()) return term.namespace_selector.selects_everything();
    return term.namespace_selector.matches_map(found->second->metadata().labels());
  };
  return (term.namespaces.contains(pod.ns()) || selects_namespace()) &&
         term.pods.matches_map(pod.pod->metadata().labels());
}

}  // namespace gantry::control::scheduling
