// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>

#include "api/metadata.h"
#include "base/text.h"
#include "base/together.h"
#include "control/authorization/default_roles.h"
#include "control/server/object_names.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/rbac/v1/rbac.pb.h"

namespace gantry::control {

namespace {

namespace rbac = k8s::io::api::rbac::v1;
using google::protobuf::util::MessageDifferencer;

constexpr std::string_view kAutoUpdate = "rbac.authorization.kubernetes.io/autoupdate";
// Several servers over one store start together; each loses to another at most once for each write of it.
constexpr int kAttempts = 8;

template <typename Message>
bool contains(const google::protobuf::RepeatedPtrField<Message>& list, const Message& item) {
  return std::ranges::any_of(list,
                             [&](const Message& present) { return MessageDifferencer::Equivalent(present, item); });
}

template <typename Role>
void add_rules(const Role& wanted, Role* role) {
  std::vector<const PolicyRule*> owned;
  for (const PolicyRule& rule : role->rules()) owned.push_back(&rule);
  std::vector<PolicyRule> missing;
  for (const PolicyRule& rule : wanted.rules()) {
    if (!uncovered(owned, rule).empty()) missing.push_back(rule);
  }
  for (PolicyRule& rule : missing) *role->add_rules() = std::move(rule);
}

void reconcile(const rbac::Role& wanted, rbac::Role* role) { add_rules(wanted, role); }

void reconcile(const rbac::ClusterRole& wanted, rbac::ClusterRole* role) {
  if (!wanted.has_aggregation_rule()) return add_rules(wanted, role);
  for (const auto& selector : wanted.aggregation_rule().cluster_role_selectors()) {
    auto* present = role->mutable_aggregation_rule()->mutable_cluster_role_selectors();
    if (!contains(*present, selector)) *present->Add() = selector;
  }
}

template <typename Binding>
void reconcile_binding(const Binding& wanted, Binding* binding) {
  for (const rbac::Subject& subject : wanted.subjects()) {
    const bool present = std::ranges::any_of(binding->subjects(), [&](const rbac::Subject& other) {
      return other.kind() == subject.kind() && other.name() == subject.name() &&
             other.namespace_() == subject.namespace_();
    });
    if (!present) *binding->add_subjects() = subject;
  }
}
void reconcile(const rbac::RoleBinding& wanted, rbac::RoleBinding* binding) { reconcile_binding(wanted, binding); }
void reconcile(const rbac::ClusterRoleBinding& wanted, rbac::ClusterRoleBinding* binding) {
  reconcile_binding(wanted, binding);
}

bool names_same_role(const rbac::Role&, const rbac::Role&) { return true; }
bool names_same_role(const rbac::ClusterRole&, const rbac::ClusterRole&) { return true; }
template <typename Binding>
bool names_same_role(const Binding& a, const Binding& b) {
  return a.role_ref().kind() == b.role_ref().kind() && a.role_ref().name() == b.role_ref().name();
}

template <typename M>
Result<std::unique_ptr<M>> new_object(const M& wanted, api::Timestamp now) {
  auto made = std::make_unique<M>(wanted);
  Result<std::string> uid = new_uid();
  if (!uid) return std::unexpected(std::move(uid.error()));
  made->mutable_metadata()->set_uid(*uid);
  made->mutable_metadata()->mutable_creation_timestamp()->set_seconds(now.seconds);
  return made;
}

// One step towards what is wanted; true: there is nothing more to do.
template <typename M>
Task<Result<bool>> step(Loop& here, Objects objects, const api::Kind& kind, const M& wanted, api::Timestamp now) {
  const std::string ns = wanted.metadata().namespace_();
  const std::string name = wanted.metadata().name();
  Result<std::optional<Object>> present = co_await objects.find(here, kind, ns, name);
  if (!present) co_return std::unexpected(std::move(present.error()));
  if (!*present) {
    Result<std::unique_ptr<M>> made = new_object(wanted, now);
    if (!made) co_return std::unexpected(std::move(made.error()));
    Result<Objects::Answer> answer = co_await objects.create(here, kind, std::move(*made));
    if (!answer) co_return std::unexpected(std::move(answer.error()));
    co_return answer->done;
  }
  const auto& old = static_cast<const M&>(*(*present)->message);
  const auto annotation = old.metadata().annotations().find(std::string(kAutoUpdate));
  if (annotation != old.metadata().annotations().end() && annotation->second == "false") co_return true;
  if (!names_same_role(old, wanted)) {
    Result<Objects::Answer> removed = co_await objects.remove(here, kind, ns, name, (*present)->revision());
    if (!removed) co_return std::unexpected(std::move(removed.error()));
    co_return false;
  }
  auto updated = std::make_unique<M>(old);
  for (const auto& [key, value] : wanted.metadata().labels()) {
    (*updated->mutable_metadata()->mutable_labels())[key] = value;
  }
  for (const auto& [key, value] : wanted.metadata().annotations()) {
    (*updated->mutable_metadata()->mutable_annotations())[key] = value;
  }
  reconcile(wanted, updated.get());
  if (MessageDifferencer::Equals(old, *updated)) co_return true;
  Result<Objects::Answer> answer = co_await objects.update(here, kind, (*present)->revision(), std::move(updated));
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  co_return answer->done;
}

template <typename M>
Task<Status> reconcile_one(Loop& here, Objects objects, std::string plural, std::shared_ptr<const M> wanted,
                           api::Timestamp now) {
  const api::Kind* kind = objects.kinds().find_resource("rbac.authorization.k8s.io", "v1", plural);
  if (kind == nullptr) co_return fail(Code::kFailedPrecondition, cat("there is no resource ", plural));
  for (int attempt = 1;; ++attempt) {
    Result<bool> done = co_await step(here, objects, *kind, *wanted, now);
    if (!done) {
      co_return std::unexpected(
          std::move(done.error()).with_context(cat("reconcile ", plural, " ", wanted->metadata().name())));
    }
    if (*done) co_return Status();
    if (attempt == kAttempts) {
      co_return fail(Code::kAborted, cat("somebody else keeps changing ", plural, " ", wanted->metadata().name()));
    }
  }
}

}  // namespace

Task<Status> reconcile_default_roles(Loop& here, Objects objects, std::function<api::Timestamp()> now) {
  Result<RbacObjects> wanted = default_roles();
  if (!wanted) co_return std::unexpected(std::move(wanted.error()));
  // All at once: writes that come together share a sync of the disk, and a cluster's first start waits for this.
  std::vector<Task<Status>> tasks;
  const auto add = [&](const char* plural, const auto& all) {
    for (const auto& each : all) tasks.push_back(reconcile_one(here, objects, plural, each, now()));
  };
  add("clusterroles", wanted->cluster_roles);
  add("roles", wanted->roles);
  add("clusterrolebindings", wanted->cluster_role_bindings);
  add("rolebindings", wanted->role_bindings);
  co_return co_await together(here, std::move(tasks));
}

}  // namespace gantry::control
