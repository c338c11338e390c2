// SPDX-License-Identifier: Apache-2.0
#include "control/authorization/rbac_policy.h"

#include "api/codec.h"
#include "api/label_selector.h"
#include "base/text.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/rbac/v1/rbac.pb.h"

namespace gantry::control {

namespace {

std::string role_key(std::string_view ns, std::string_view name) {
  return ns.empty() ? std::string(name) : cat(ns, "/", name);
}

// Empty for a subject of no known kind, which is nobody.
std::string subject_key(const k8s::io::api::rbac::v1::Subject& subject, std::string_view binding_namespace) {
  if (subject.kind() == "User") return cat("User:", subject.name());
  if (subject.kind() == "Group") return cat("Group:", subject.name());
  if (subject.kind() != "ServiceAccount") return "";
  const std::string_view ns = subject.namespace_().empty() ? binding_namespace : std::string_view(subject.namespace_());
  return ns.empty() ? "" : cat("User:system:serviceaccount:", ns, ":", subject.name());
}

template <typename Rules, typename Role>
void append_rules(const Role& role, Rules* rules) {
  rules->insert(rules->end(), role.rules().begin(), role.rules().end());
}

}  // namespace

void RbacPolicy::add_cluster_roles(const RbacObjects& objects) {
  // Who aggregates may be selected by another (view is in edit, edit in admin): their rules are followed through the
  // selectors, each role at most once.
  std::unordered_map<std::string_view, std::vector<api::LabelSelector>> selectors;
  for (const auto& role : objects.cluster_roles) {
    for (const auto& selector : role->aggregation_rule().cluster_role_selectors()) {
      Result<api::LabelSelector> parsed = api::LabelSelector::from_value(api::encode(selector));
      if (parsed) selectors[role->metadata().name()].push_back(std::move(*parsed));
    }
  }
  for (const auto& role : objects.cluster_roles) {
    auto rules = std::make_shared<Rules>();
    std::vector<const k8s::io::api::rbac::v1::ClusterRole*> reached = {role.get()};
    for (size_t i = 0; i < reached.size(); ++i) {
      const auto found = selectors.find(reached[i]->metadata().name());
      if (found == selectors.end()) {
        append_rules(*reached[i], rules.get());
        continue;
      }
      for (const auto& other : objects.cluster_roles) {
        const bool selected = std::ranges::any_of(found->second, [&](const api::LabelSelector& selector) {
          return selector.matches_map(other->metadata().labels());
        });
        if (selected && std::ranges::find(reached, other.get()) == reached.end()) reached.push_back(other.get());
      }
    }
    roles_[role->metadata().name()] = std::move(rules);
  }
}

template <typename Binding>
void RbacPolicy::add_binding(const Binding& binding, std::string_view what, BySubject* subjects) const {
  const std::string& ns = binding.metadata().namespace_();
  const bool of_cluster = binding.role_ref().kind() == "ClusterRole";
  const auto role = roles_.find(role_key(of_cluster ? "" : ns, binding.role_ref().name()));
  if (role == roles_.end() || (!of_cluster && ns.empty())) return;
  const std::string name = cat(what, " ", quoted(role_key(ns, binding.metadata().name()), 512), " of ",
                               binding.role_ref().kind(), " ", quoted(binding.role_ref().name(), 256));
  for (const auto& subject : binding.subjects()) {
    std::string key = subject_key(subject, ns);
    if (!key.empty()) (*subjects)[std::move(key)].push_back({role->second, name});
  }
}

RbacPolicy::RbacPolicy(RbacObjects objects) {
  add_cluster_roles(objects);
  for (const auto& role : objects.roles) {
    auto rules = std::make_shared<Rules>();
    append_rules(*role, rules.get());
    roles_[role_key(role->metadata().namespace_(), role->metadata().name())] = std::move(rules);
  }
  for (const auto& binding : objects.cluster_role_bindings) add_binding(*binding, "ClusterRoleBinding", &cluster_);
  for (const auto& binding : objects.role_bindings) {
    add_binding(*binding, "RoleBinding", &namespaces_[binding->metadata().namespace_()]);
  }
}

void RbacPolicy::visit(const User& user, std::string_view ns, const std::function<bool(const Grant&)>& visit) const {
  const auto among = [&](const BySubject& subjects) {
    const auto of = [&](const std::string& key) {
      const auto found = subjects.find(key);
      if (found == subjects.end()) return true;
      for (const Grants& grants : found->second) {
        for (const PolicyRule& rule : *grants.rules) {
          if (!visit({rule, grants.binding})) return false;
        }
      }
      return true;
    };
    if (!of(cat("User:", user.name))) return false;
    return std::ranges::all_of(user.groups, [&](const std::string& group) { return of(cat("Group:", group)); });
  };
  if (!among(cluster_) || ns.empty()) return;
  if (const auto found = namespaces_.find(std::string(ns)); found != namespaces_.end()) among(found->second);
}

std::vector<const PolicyRule*> RbacPolicy::rules_of(const User& user, std::string_view ns) const {
  std::vector<const PolicyRule*> rules;
  visit(user, ns, [&](const Grant& grant) {
    rules.push_back(&grant.rule);
    return true;
  });
  return rules;
}

std::optional<std::string> RbacPolicy::allows(const AccessRequest& request) const {
  std::optional<std::string> binding;
  visit(request.user, request.is_resource ? std::string_view(request.ns) : "", [&](const Grant& grant) {
    if (!rule_allows(grant.rule, request)) return true;
    binding = grant.binding;
    return false;
  });
  return binding;
}

const RbacPolicy::Rules* RbacPolicy::find_role(std::string_view kind, std::string_view ns,
                                               std::string_view name) const {
  if (kind != "ClusterRole" && ns.empty()) return nullptr;
  const auto found = roles_.find(role_key(kind == "ClusterRole" ? "" : ns, name));
  return found == roles_.end() ? nullptr : found->second.get();
}

}  // namespace gantry::control
