// SPDX-License-Identifier: Apache-2.0
// Objects in the order of their keys, as a value: insert() and erase() leave the old tree as it was and share what did
// not change, some dozen nodes being new. So a reader keeps a tree as long as it likes, and nobody waits. A
// weight-balanced tree: it knows the size of every part, so that what is left of a list is counted without a walk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "control/store/store.h"

namespace gantry::control {

// One object of a watch cache: the stored entry, and in a derived class what is made of it once and shared by all (its
// JSON, labels, fields that select). Immutable as far as readers can see; forms that are made on first demand are
// guarded by the derived class.
class CachedObject {
 public:
  explicit CachedObject(EntryPtr entry) : entry_(std::move(entry)) {}
  virtual ~CachedObject() = default;
  CachedObject(const CachedObject&) = delete;
  CachedObject& operator=(const CachedObject&) = delete;

  const Entry& entry() const { return *entry_; }
  const EntryPtr& entry_ptr() const { return entry_; }
  const std::string& key() const { return entry_->key; }
  // Of a removed object (CacheEvent::Kind::kRemoved): the removal's.
  std::int64_t revision() const { return entry_->mod_revision; }

  // About how much memory it takes: what bounds a cache's window.
  virtual std::size_t bytes() const { return sizeof(*this) + entry_->key.size() + entry_->value.size(); }
  // By what watchers of a part are found without asking each (WatchScope::topic), as the node of a pod; "" for none.
  virtual std::string_view topic() const { return {}; }

 private:
  const EntryPtr entry_;
};
using ObjectPtr = std::shared_ptr<const CachedObject>;

class ObjectTree {
 public:
  ObjectTree() = default;
  // `objects` are in the order of their keys.
  static ObjectTree from_sorted(const std::vector<ObjectPtr>& objects);

  std::size_t size() const;
  // Null when there is none.
  ObjectPtr find(std::string_view key) const;
  ObjectTree insert(ObjectPtr object) const;  // or replaces the one with its key
  ObjectTree erase(std::string_view key) const;

  // How many keys are below `key`.
  std::size_t rank(std::string_view key) const;
  // Calls `visit` for each object whose key is `from` or beyond and below `end`, in order, until it returns false.
  void visit(std::string_view from, std::string_view end, const std::function<bool(const ObjectPtr&)>& visit) const;

  struct Node;
  using NodePtr = std::shared_ptr<const Node>;

 private:
  explicit ObjectTree(NodePtr root) : root_(std::move(root)) {}
  NodePtr root_;
};

}  // namespace gantry::control
