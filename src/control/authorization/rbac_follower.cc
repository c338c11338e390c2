// SPDX-License-Identifier: Apache-2.0
#include "control/authorization/rbac_follower.h"

#include "api/codec.h"
#include "base/log.h"
#include "kubernetes/rbac/v1/rbac.pb.h"

namespace gantry::control {

namespace rbac = k8s::io::api::rbac::v1;

namespace {

template <typename M>
std::vector<std::shared_ptr<const M>> values(const std::map<std::string, std::shared_ptr<const M>>& objects) {
  std::vector<std::shared_ptr<const M>> list;
  list.reserve(objects.size());
  for (const auto& [key, object] : objects) list.push_back(object);
  return list;
}

// What cannot be read gives nobody anything.
template <typename M>
void put(const Entry& entry, std::map<std::string, std::shared_ptr<const M>>* objects) {
  auto object = std::make_shared<M>();
  if (Status decoded = api::decode_stored(entry.value, object.get()); !decoded) {
    log::warning("a role or binding in the store cannot be read, ignoring it",
                 {{"key", entry.key}, {"error", decoded.error()}});
    objects->erase(entry.key);
    return;
  }
  (*objects)[entry.key] = std::move(object);
}

}  // namespace

template <typename M>
std::unique_ptr<StoreFollower> RbacFollower::follow(std::string prefix, ByKey<M>* objects) {
  return std::make_unique<StoreFollower>(
      home_, store_, std::move(prefix),
      StoreFollower::Calls{.reset =
                               [this, objects](const std::vector<EntryPtr>& entries) {
                                 objects->clear();
                                 for (const EntryPtr& entry : entries) put(*entry, objects);
                                 schedule();
                               },
                           .change =
                               [this, objects](const std::vector<StoreEvent>& events) {
                                 for (const StoreEvent& event : events) {
                                   if (event.kind == StoreEvent::Kind::kRemove) {
                                     objects->erase(event.entry->key);
                                   } else {
                                     put(*event.entry, objects);
                                   }
                                 }
                                 schedule();
                               }});
}

RbacFollower::RbacFollower(Loop& home, Store& store)
    : home_(home), store_(store), policy_(std::make_shared<RbacPolicy>(RbacObjects())) {
  followers_.push_back(follow("/registry/clusterroles/", &cluster_roles_));
  followers_.push_back(follow("/registry/roles/", &roles_));
  followers_.push_back(follow("/registry/clusterrolebindings/", &cluster_role_bindings_));
  followers_.push_back(follow("/registry/rolebindings/", &role_bindings_));
}

RbacFollower::~RbacFollower() { *alive_ = false; }

void RbacFollower::schedule() {
  if (scheduled_) return;
  scheduled_ = true;
  home_.post([this, alive = alive_] {
    if (*alive) rebuild();
  });
}

void RbacFollower::rebuild() {
  scheduled_ = false;
  auto made = std::make_shared<const RbacPolicy>(RbacObjects{.cluster_roles = values(cluster_roles_),
                                                             .roles = values(roles_),
                                                             .cluster_role_bindings = values(cluster_role_bindings_),
                                                             .role_bindings = values(role_bindings_)});
  const std::lock_guard lock(mutex_);
  policy_.swap(made);
}

std::shared_ptr<const RbacPolicy> RbacFollower::policy() const {
  const std::lock_guard lock(mutex_);
  return policy_;
}

Task<> RbacFollower::ready() {
  for (const std::unique_ptr<StoreFollower>& follower : followers_) co_await follower->ready();
  if (scheduled_) rebuild();
}

}  // namespace gantry::control
