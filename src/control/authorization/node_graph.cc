// SPDX-License-Identifier: Apache-2.0
#include "control/authorization/node_graph.h"

#include <mutex>

#include "api/codec.h"
#include "base/text.h"
#include "control/authorization/pod_references.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::control {

NodeGraph::NodeGraph(Loop& home, Store& store)
    : follower_(home, store, "/registry/pods/",
                {.reset =
                     [this](const std::vector<EntryPtr>& entries) {
                       const std::unique_lock lock(mutex_);
                       pods_.clear();
                       nodes_.clear();
                       for (const EntryPtr& entry : entries) put(*entry);
                     },
                 .change =
                     [this](const std::vector<StoreEvent>& events) {
                       const std::unique_lock lock(mutex_);
                       for (const StoreEvent& event : events) {
                         erase(event.entry->key);
                         if (event.kind == StoreEvent::Kind::kPut) put(*event.entry);
                       }
                     }}) {}

void NodeGraph::put(const Entry& entry) {
  k8s::io::api::core::v1::Pod pod;
  if (!api::decode_stored(entry.value, &pod) || pod.spec().node_name().empty()) return;
  PodEntry& kept = pods_[entry.key];
  kept = {pod.spec().node_name(), references_of(pod)};
  std::map<std::string, int>& node = nodes_[kept.node];
  for (const std::string& reference : kept.references) ++node[reference];
}

void NodeGraph::erase(const std::string& key) {
  const auto found = pods_.find(key);
  if (found == pods_.end()) return;
  std::map<std::string, int>& node = nodes_[found->second.node];
  for (const std::string& reference : found->second.references) {
    if (--node[reference] == 0) node.erase(reference);
  }
  if (node.empty()) nodes_.erase(found->second.node);
  pods_.erase(found);
}

bool NodeGraph::reaches(const std::string& node, const std::string& reference) const {
  const std::shared_lock lock(mutex_);
  const auto found = nodes_.find(node);
  return found != nodes_.end() && found->second.contains(reference);
}

std::vector<std::string> NodeGraph::reached(const std::string& node, std::string_view resource) const {
  const std::shared_lock lock(mutex_);
  std::vector<std::string> all;
  const auto found = nodes_.find(node);
  if (found == nodes_.end()) return all;
  const std::string prefix = cat(resource, "/");
  for (auto at = found->second.lower_bound(prefix); at != found->second.end() && at->first.starts_with(prefix); ++at) {
    all.push_back(at->first.substr(prefix.size()));
  }
  return all;
}

}  // namespace gantry::control
