// SPDX-License-Identifier: Apache-2.0
// Which node may read what, because of the pods that are bound to it; kept from the store's pods.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "control/authorization/store_follower.h"

namespace gantry::control {

class NodeGraph {
 public:
  // Made and destroyed on `home`, which must outlive it, as `store` must.
  NodeGraph(Loop& home, Store& store);

  // Any thread. Whether a pod of the node refers to it: "secrets/NAMESPACE/NAME" (pod_references.h).
  bool reaches(const std::string& node, const std::string& reference) const;
  // All of a resource that the node's pods refer to: "NAMESPACE/NAME".
  std::vector<std::string> reached(const std::string& node, std::string_view resource) const;
  // On `home`.
  Task<> ready() { return follower_.ready(); }

 private:
  struct PodEntry {
    std::string node;
    std::set<std::string> references;
  };
  void put(const Entry& entry);
  void erase(const std::string& key);

  mutable std::shared_mutex mutex_;
  std::unordered_map<std::string, PodEntry> pods_;                     // by key
  std::unordered_map<std::string, std::map<std::string, int>> nodes_;  // how many pods refer to each
  StoreFollower follower_;
};

}  // namespace gantry::control
