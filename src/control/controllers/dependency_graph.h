// SPDX-License-Identifier: Apache-2.0
// DependencyGraph: who owns whom, over the metadata of objects of every kind, as watches tell it. It says what has to
// be looked at when something changes; what is to be done about it is the garbage collector's.
//
// An owner that objects name and nobody has seen is a node, too, for as long as it is named: watches of different kinds
// come in any order. Pure; one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "api/client/client.h"

namespace k8s::io::apimachinery::pkg::apis::meta::v1 {
class ObjectMeta;
class OwnerReference;
class PartialObjectMetadata;
}  // namespace k8s::io::apimachinery::pkg::apis::meta::v1

namespace gantry::control {

class DependencyGraph {
 public:
  using ObjectMeta = k8s::io::apimachinery::pkg::apis::meta::v1::ObjectMeta;
  using OwnerReference = k8s::io::apimachinery::pkg::apis::meta::v1::OwnerReference;
  using ObjectPtr = std::shared_ptr<const k8s::io::apimachinery::pkg::apis::meta::v1::PartialObjectMetadata>;

  struct Node {
    std::string uid;
    const api::Target* target = nullptr;
    ObjectPtr object;  // null: it was only named
    std::unordered_set<Node*> dependents;

    bool is_seen() const { return object != nullptr; }
    const ObjectMeta& metadata() const;  // precondition: seen
    bool is_being_deleted() const;
    // It waits for its dependents: to go before it does, or to be let go.
    bool is_deleting_dependents() const;
    bool is_orphaning_dependents() const;
    // Those that keep it as long as they are there, itself not counted.
    std::vector<const Node*> blocking_dependents() const;
  };

  struct Actions {
    std::function<void(const Node&)> check;        // shall it be deleted?
    std::function<void(const Node&)> check_owner;  // the same, of one whose owner nobody has seen yet
    std::function<void(const Node&)> orphan;       // its dependents have to be let go
    std::function<void(const Node&)> gone;         // it is gone, and has dependents
    std::function<void(const Node&, const OwnerReference&)> wrong_namespace;  // an owner is in another namespace
  };
  explicit DependencyGraph(Actions actions) : actions_(std::move(actions)) {}

  // New or changed. `target` must live as long as the graph.
  void put(const api::Target& target, ObjectPtr object);
  void drop(const ObjectMeta& metadata);
  void clear() { nodes_.clear(); }

  const Node* find(const std::string& uid) const;
  // All that name an owner whom nobody has seen.
  std::vector<const Node*> with_unseen_owners() const;
  // Whether what the dependent calls its owner is that object, and not only its uid. Precondition: both are seen.
  bool agrees(const Node& dependent, const OwnerReference& reference, const Node& owner) const;

 private:
  Node& node(const std::string& uid);
  void link(Node& dependent, const OwnerReference& reference);
  void unlink(Node& dependent, const std::string& owner_uid);
  void check_dependents(const Node& owner);

  Actions actions_;
  std::unordered_map<std::string, std::unique_ptr<Node>> nodes_;
};

// "apps" of "apps/v1", "" of "v1".
std::string_view group_of(std::string_view api_version);

}  // namespace gantry::control
