// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/role_aggregation.h"

#include <algorithm>
#include <set>

#include "api/codec.h"
#include "api/label_selector.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/rbac/v1/rbac.pb.h"

namespace gantry::control {

namespace rbac = k8s::io::api::rbac::v1;
using api::Value;

RoleAggregation::RoleAggregation(ControllerParts parts)
    : parts_(std::move(parts)),
      queue_(parts_.queues(), "clusterrole-aggregation", [this](std::string name) { return work(name); }) {
  auto& roles = parts_.informers.of<rbac::ClusterRole>();
  roles.on_change([this, &roles](const api::Informer::Change&) {
    for (const auto& role : roles.objects()) {
      if (role->has_aggregation_rule()) queue_.add(role->metadata().name());
    }
  });
}

Task<Status> RoleAggregation::work(std::string name) {
  auto& roles = parts_.informers.of<rbac::ClusterRole>();
  const auto role = roles.find("", name);
  if (role == nullptr || !role->has_aggregation_rule()) co_return Status();
  std::vector<api::LabelSelector> selectors;
  for (const auto& selector : role->aggregation_rule().cluster_role_selectors()) {
    Result<api::LabelSelector> read = api::LabelSelector::from_value(api::encode(selector));
    if (!read) co_return std::unexpected(std::move(read.error()));
    selectors.push_back(std::move(*read));
  }
  // In the order of the roles' names, each rule once.
  rbac::ClusterRole wanted;
  std::set<std::string> taken;
  for (const auto& other : roles.objects()) {
    const bool selected =
        other->metadata().name() != name && std::ranges::any_of(selectors, [&](const api::LabelSelector& selector) {
          return selector.matches_map(other->metadata().labels());
        });
    if (!selected) continue;
    for (const rbac::PolicyRule& rule : other->rules()) {
      if (taken.insert(rule.SerializeAsString()).second) *wanted.add_rules() = rule;
    }
  }
  const bool equal = std::ranges::equal(wanted.rules(), role->rules(), [](const auto& a, const auto& b) {
    return a.SerializeAsString() == b.SerializeAsString();
  });
  if (equal) co_return Status();
  Value::List rules;
  for (const rbac::PolicyRule& rule : wanted.rules()) rules.push_back(api::encode(rule));
  const Value change = Value::object(
      {{"metadata",
        Value::object({{"uid", role->metadata().uid()}, {"resourceVersion", role->metadata().resource_version()}})},
       {"rules", std::move(rules)}});
  co_return done_or_gone(co_await parts_.client.patch<rbac::ClusterRole>("", name, api::PatchForm::kMerge, change));
}

}  // namespace gantry::control
