// SPDX-License-Identifier: Apache-2.0
#include "control/admission/role_escalation.h"

#include <google/protobuf/util/message_differencer.h>

#include "base/text.h"
#include "control/authorization/decide.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/rbac/v1/rbac.pb.h"

namespace gantry::control {

namespace {

namespace rbac = k8s::io::api::rbac::v1;

// Who may use an aggregation rule: it gives whatever others will write into the roles that it selects.
std::vector<PolicyRule> everything() {
  PolicyRule resources;
  resources.add_verbs("*");
  resources.add_api_groups("*");
  resources.add_resources("*");
  PolicyRule paths;
  paths.add_verbs("*");
  paths.add_non_resource_urls("*");
  return {resources, paths};
}

bool aggregates(const rbac::Role&) { return false; }
bool aggregates(const rbac::ClusterRole& role) { return role.has_aggregation_rule(); }

template <typename Role>
bool gives_the_same(const Role& a, const Role& b) {
  Role left;
  Role right;
  *left.mutable_rules() = a.rules();
  *right.mutable_rules() = b.rules();
  if constexpr (std::is_same_v<Role, rbac::ClusterRole>) {
    if (a.has_aggregation_rule()) *left.mutable_aggregation_rule() = a.aggregation_rule();
    if (b.has_aggregation_rule()) *right.mutable_aggregation_rule() = b.aggregation_rule();
  }
  return google::protobuf::util::MessageDifferencer::Equals(left, right);
}

template <typename Binding>
bool gives_the_same_to_the_same(const Binding& a, const Binding& b) {
  Binding left = a;
  Binding right = b;
  left.clear_metadata();
  right.clear_metadata();
  return google::protobuf::util::MessageDifferencer::Equals(left, right);
}

}  // namespace

Task<bool> RoleEscalation::may(const AdmissionRequest& request, std::string verb, std::string resource, std::string ns,
                               std::string name) {
  const AccessRequest access{.user = request.call.user,
                             .is_resource = true,
                             .verb = std::move(verb),
                             .group = request.call.info.group,
                             .version = "*",
                             .ns = std::move(ns),
                             .resource = std::move(resource),
                             .subresource = "",
                             .name = std::move(name),
                             .path = ""};
  const Authorizer::Answer answer = co_await decide(request.call.here, authorizers_, access);
  co_return answer.decision == Authorizer::Decision::kAllow;
}

Outcome<void> RoleEscalation::check(const AdmissionRequest& request,
                                    const std::vector<const PolicyRule*>& wanted) const {
  const User& user = request.call.user;
  const std::shared_ptr<const RbacPolicy> policy = source_.policy();
  const std::vector<const PolicyRule*> owned = policy->rules_of(user, request.call.info.ns);
  std::string missing;
  for (const PolicyRule* rule : wanted) {
    for (const PolicyRule& part : uncovered(owned, *rule)) missing += cat(missing.empty() ? "" : "\n", rule_text(part));
  }
  if (missing.empty()) return {};
  std::string groups;
  for (const std::string& group : user.groups) groups += cat(groups.empty() ? "" : " ", quoted(group, 256));
  return fail(forbidden(request.call.kind, request.name,
                        cat("user ", quoted(user.name, 256), " (groups=[", groups,
                            "]) is attempting to grant RBAC permissions not currently held:\n", missing)));
}

template <typename Role>
Task<Outcome<void>> RoleEscalation::validate_role(const AdmissionRequest& request) {
  const auto& role = static_cast<const Role&>(*request.object);
  if (request.old != nullptr && gives_the_same(static_cast<const Role&>(*request.old), role)) co_return Outcome<void>();
  const std::string& ns = request.call.info.ns;
  if (co_await may(request, "escalate", request.call.info.resource, ns, request.name)) co_return Outcome<void>();
  std::vector<const PolicyRule*> wanted;
  for (const PolicyRule& rule : role.rules()) wanted.push_back(&rule);
  const std::vector<PolicyRule> all = everything();
  if (aggregates(role)) {
    for (const PolicyRule& rule : all) wanted.push_back(&rule);
  }
  co_return check(request, wanted);
}

template <typename Binding>
Task<Outcome<void>> RoleEscalation::validate_binding(const AdmissionRequest& request) {
  const auto& binding = static_cast<const Binding&>(*request.object);
  if (request.old != nullptr && gives_the_same_to_the_same(static_cast<const Binding&>(*request.old), binding)) {
    co_return Outcome<void>();
  }
  const rbac::RoleRef& ref = binding.role_ref();
  const std::string resource = ref.kind() == "ClusterRole" ? "clusterroles" : "roles";
  if (co_await may(request, "bind", resource, request.call.info.ns, ref.name())) co_return Outcome<void>();
  const std::shared_ptr<const RbacPolicy> policy = source_.policy();
  const RbacPolicy::Rules* rules = policy->find_role(ref.kind(), request.call.info.ns, ref.name());
  if (rules == nullptr) {
    // It may be made later, with anything in it.
    co_return fail(forbidden(request.call.kind, request.name,
                             cat(ref.kind(), " ", quoted(ref.name(), 256),
                                 " not found, so nobody without the verb "
                                 "bind on it may bind it")));
  }
  std::vector<const PolicyRule*> wanted;
  for (const PolicyRule& rule : *rules) wanted.push_back(&rule);
  co_return check(request, wanted);
}

Task<Outcome<void>> RoleEscalation::validate(const AdmissionRequest& request) {
  if (request.object == nullptr) co_return Outcome<void>();
  const google::protobuf::Descriptor* type = request.object->GetDescriptor();
  if (type == rbac::Role::descriptor()) co_return co_await validate_role<rbac::Role>(request);
  if (type == rbac::ClusterRole::descriptor()) co_return co_await validate_role<rbac::ClusterRole>(request);
  if (type == rbac::RoleBinding::descriptor()) co_return co_await validate_binding<rbac::RoleBinding>(request);
  if (type == rbac::ClusterRoleBinding::descriptor()) {
    co_return co_await validate_binding<rbac::ClusterRoleBinding>(request);
  }
  co_return Outcome<void>();
}

}  // namespace gantry::control
