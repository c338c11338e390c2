// SPDX-License-Identifier: Apache-2.0
// The current RbacPolicy, from the store: made anew after each change of a role or binding, once for changes that come
// together.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "control/authorization/rbac_policy.h"
#include "control/authorization/store_follower.h"

namespace gantry::control {

class RbacFollower : public RbacSource {
 public:
  // Made and destroyed on `home`, which must outlive it, as `store` must.
  RbacFollower(Loop& home, Store& store);
  ~RbacFollower() override;

  // Any thread. Nobody has anything before ready() has returned once.
  std::shared_ptr<const RbacPolicy> policy() const override;
  // On `home`: returns when all counts that was in the store before the call.
  Task<> ready();

 private:
  template <typename M>
  using ByKey = std::map<std::string, std::shared_ptr<const M>>;

  template <typename M>
  std::unique_ptr<StoreFollower> follow(std::string prefix, ByKey<M>* objects);
  void schedule();
  void rebuild();

  Loop& home_;
  Store& store_;
  ByKey<k8s::io::api::rbac::v1::ClusterRole> cluster_roles_;
  ByKey<k8s::io::api::rbac::v1::Role> roles_;
  ByKey<k8s::io::api::rbac::v1::ClusterRoleBinding> cluster_role_bindings_;
  ByKey<k8s::io::api::rbac::v1::RoleBinding> role_bindings_;
  bool scheduled_ = false;
  // False once it is gone, for what was posted before.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  mutable std::mutex mutex_;
  std::shared_ptr<const RbacPolicy> policy_;
  std::vector<std::unique_ptr<StoreFollower>> followers_;
};

}  // namespace gantry::control
