// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/dependency_graph.h"

#include <algorithm>

#include "api/metadata.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/meta/v1/object.pb.h"

namespace gantry::control {

namespace {

using ObjectMeta = DependencyGraph::ObjectMeta;
using OwnerReference = DependencyGraph::OwnerReference;

bool has_finalizer(const ObjectMeta& metadata, std::string_view name) {
  return std::ranges::find(metadata.finalizers(), name) != metadata.finalizers().end();
}

bool is_deleting(const ObjectMeta& metadata, std::string_view finalizer) {
  return metadata.has_deletion_timestamp() && has_finalizer(metadata, finalizer);
}

const OwnerReference* find_owner(const ObjectMeta& metadata, const std::string& uid) {
  const auto& owners = metadata.owner_references();
  const auto found = std::ranges::find(owners, uid, [](const OwnerReference& owner) { return owner.uid(); });
  return found == owners.end() ? nullptr : &*found;
}

bool names_the_same(const OwnerReference& a, const OwnerReference& b) {
  return a.kind() == b.kind() && a.name() == b.name() && group_of(a.api_version()) == group_of(b.api_version());
}

}  // namespace

std::string_view group_of(std::string_view api_version) {
  const std::size_t slash = api_version.find('/');
  return slash == std::string_view::npos ? std::string_view() : api_version.substr(0, slash);
}

const ObjectMeta& DependencyGraph::Node::metadata() const { return object->metadata(); }
bool DependencyGraph::Node::is_being_deleted() const { return is_seen() && metadata().has_deletion_timestamp(); }
bool DependencyGraph::Node::is_deleting_dependents() const {
  return is_seen() && is_deleting(metadata(), api::kForegroundFinalizer);
}
bool DependencyGraph::Node::is_orphaning_dependents() const {
  return is_seen() && is_deleting(metadata(), api::kOrphanFinalizer);
}

std::vector<const DependencyGraph::Node*> DependencyGraph::Node::blocking_dependents() const {
  std::vector<const Node*> out;
  for (const Node* dependent : dependents) {
    const auto& owners = dependent->metadata().owner_references();
    const bool blocks = std::ranges::any_of(
        owners, [this](const OwnerReference& owner) { return owner.uid() == uid && owner.block_owner_deletion(); });
    if (blocks && dependent != this) out.push_back(dependent);
  }
  return out;
}

const DependencyGraph::Node* DependencyGraph::find(const std::string& uid) const {
  const auto found = nodes_.find(uid);
  return found == nodes_.end() ? nullptr : found->second.get();
}

DependencyGraph::Node& DependencyGraph::node(const std::string& uid) {
  std::unique_ptr<Node>& slot = nodes_[uid];
  if (slot == nullptr) {
    slot = std::make_unique<Node>();
    slot->uid = uid;
  }
  return *slot;
}

bool DependencyGraph::agrees(const Node& dependent, const OwnerReference& reference, const Node& owner) const {
  const api::Target& target = *owner.target;
  return reference.kind() == target.kind && reference.name() == owner.metadata().name() &&
         group_of(reference.api_version()) == target.group &&
         (!target.namespaced || owner.metadata().namespace_() == dependent.metadata().namespace_());
}

void DependencyGraph::link(Node& dependent, const OwnerReference& reference) {
  Node& owner = node(reference.uid());
  owner.dependents.insert(&dependent);
  if (!owner.is_seen()) {
    actions_.check_owner(dependent);
    return;
  }
  if (!agrees(dependent, reference, owner)) {
    if (owner.target->namespaced && owner.metadata().namespace_() != dependent.metadata().namespace_()) {
      actions_.wrong_namespace(dependent, reference);
    }
    actions_.check(dependent);
  }
  if (owner.is_deleting_dependents()) actions_.check(owner);
}

void DependencyGraph::unlink(Node& dependent, const std::string& owner_uid) {
  const auto found = nodes_.find(owner_uid);
  if (found == nodes_.end()) return;
  Node& owner = *found->second;
  owner.dependents.erase(&dependent);
  // It may have waited for this one.
  if (owner.is_deleting_dependents()) actions_.check(owner);
  if (!owner.is_seen() && owner.dependents.empty()) nodes_.erase(found);
}

void DependencyGraph::check_dependents(const Node& owner) {
  for (const Node* dependent : owner.dependents) actions_.check(*dependent);
}

void DependencyGraph::put(const api::Target& target, ObjectPtr object) {
  Node& changed = node(object->metadata().uid());
  const ObjectPtr before = std::exchange(changed.object, std::move(object));
  changed.target = &target;
  const ObjectMeta& now = changed.metadata();
  if (before == nullptr) {
    for (const Node* dependent : changed.dependents) {
      const OwnerReference* reference = find_owner(dependent->metadata(), changed.uid);
      if (reference == nullptr || agrees(*dependent, *reference, changed)) continue;
      if (target.namespaced && dependent->metadata().namespace_() != now.namespace_()) {
        actions_.wrong_namespace(*dependent, *reference);
      }
      actions_.check(*dependent);
    }
  } else {
    for (const OwnerReference& old : before->metadata().owner_references()) {
      const OwnerReference* kept = find_owner(now, old.uid());
      if (kept == nullptr) {
        unlink(changed, old.uid());
      } else if (old.block_owner_deletion() && !kept->block_owner_deletion()) {
        const Node* owner = find(old.uid());
        if (owner != nullptr && owner->is_deleting_dependents()) actions_.check(*owner);
      }
    }
  }
  for (const OwnerReference& reference : now.owner_references()) {
    const OwnerReference* old = before == nullptr ? nullptr : find_owner(before->metadata(), reference.uid());
    if (old == nullptr || !names_the_same(*old, reference)) link(changed, reference);
  }
  if (is_deleting(now, api::kOrphanFinalizer) &&
      (before == nullptr || !is_deleting(before->metadata(), api::kOrphanFinalizer))) {
    actions_.orphan(changed);
  }
  if (is_deleting(now, api::kForegroundFinalizer) &&
      (before == nullptr || !is_deleting(before->metadata(), api::kForegroundFinalizer))) {
    check_dependents(changed);
    actions_.check(changed);
  }
}

void DependencyGraph::drop(const ObjectMeta& metadata) {
  const auto found = nodes_.find(metadata.uid());
  if (found == nodes_.end() || !found->second->is_seen()) return;
  Node& gone = *found->second;
  const ObjectPtr last = gone.object;
  for (const OwnerReference& owner : last->metadata().owner_references()) {
    if (owner.uid() != gone.uid) unlink(gone, owner.uid());
  }
  gone.dependents.erase(&gone);
  if (!gone.dependents.empty()) actions_.gone(gone);
  gone.object = nullptr;
  check_dependents(gone);
  if (gone.dependents.empty()) nodes_.erase(metadata.uid());
}

std::vector<const DependencyGraph::Node*> DependencyGraph::with_unseen_owners() const {
  std::vector<const Node*> out;
  for (const auto& [uid, owner] : nodes_) {
    if (!owner->is_seen()) out.insert(out.end(), owner->dependents.begin(), owner->dependents.end());
  }
  return out;
}

}  // namespace gantry::control
