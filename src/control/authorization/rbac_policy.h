// SPDX-License-Identifier: Apache-2.0
// RbacPolicy: all roles and bindings of the cluster as they were at one moment, arranged by subject, so that a question
// looks only at what its user has. Immutable and shared; any thread. RbacSource says which one is current.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "control/authorization/rbac_rules.h"

namespace k8s::io::api::rbac::v1 {
class ClusterRole;
class ClusterRoleBinding;
class Role;
class RoleBinding;
}  // namespace k8s::io::api::rbac::v1

namespace gantry::control {

struct RbacObjects {
  std::vector<std::shared_ptr<const k8s::io::api::rbac::v1::ClusterRole>> cluster_roles;
  std::vector<std::shared_ptr<const k8s::io::api::rbac::v1::Role>> roles;
  std::vector<std::shared_ptr<const k8s::io::api::rbac::v1::ClusterRoleBinding>> cluster_role_bindings;
  std::vector<std::shared_ptr<const k8s::io::api::rbac::v1::RoleBinding>> role_bindings;
};

class RbacPolicy {
 public:
  // A cluster role with an aggregation rule has the rules of those whom it selects, whether or not the controller that
  // writes them down has done so yet.
  explicit RbacPolicy(RbacObjects objects);
  RbacPolicy(const RbacPolicy&) = delete;
  RbacPolicy& operator=(const RbacPolicy&) = delete;

  // A rule that somebody has, and by which binding ("ClusterRoleBinding \"cluster-admins\"").
  struct Grant {
    const PolicyRule& rule;
    const std::string& binding;
  };
  // Each rule that `user` has in `ns`, those that he has everywhere first; with an empty `ns` these alone; until
  // `visit` returns false.
  void visit(const User& user, std::string_view ns, const std::function<bool(const Grant&)>& visit) const;
  std::vector<const PolicyRule*> rules_of(const User& user, std::string_view ns) const;

  // By which binding the user may, or nothing.
  std::optional<std::string> allows(const AccessRequest& request) const;

  // The rules of what a binding names: "ClusterRole", or "Role" of that namespace. Null when there is none.
  using Rules = std::vector<PolicyRule>;
  const Rules* find_role(std::string_view kind, std::string_view ns, std::string_view name) const;

 private:
  struct Grants {
    std::shared_ptr<const Rules> rules;
    std::string binding;
  };
  // By "User:jane", "Group:devs"; service accounts are users.
  using BySubject = std::unordered_map<std::string, std::vector<Grants>>;

  void add_cluster_roles(const RbacObjects& objects);
  template <typename Binding>
  void add_binding(const Binding& binding, std::string_view what, BySubject* subjects) const;

  std::unordered_map<std::string, std::shared_ptr<const Rules>> roles_;  // "admin" of the cluster, "default/reader"
  BySubject cluster_;
  std::unordered_map<std::string, BySubject> namespaces_;
};

// Any thread.
class RbacSource {
 public:
  virtual ~RbacSource() = default;
  // Never null.
  virtual std::shared_ptr<const RbacPolicy> policy() const = 0;
};

}  // namespace gantry::control
