// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <initializer_list>
#include <map>
#include <set>

#include "api/check.h"
#include "api/defaults.h"
#include "api/kind_parts.h"
#include "api/kinds/core/amounts.h"
#include "api/kinds/core/kinds.h"
#include "base/text.h"
#include "kubernetes/core/v1/quota.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

std::vector<Value> row(const core::ResourceQuota& object, int64_t now) {
  std::vector<std::string> requests;
  std::vector<std::string> limits;
  const std::map<std::string, std::string> hard = [&] {
    std::map<std::string, std::string> sorted;
    for (const auto& [name, amount] : object.status().hard()) sorted.emplace(name, amount.string());
    return sorted;
  }();
  for (const auto& [name, amount] : hard) {
    const auto used = object.status().used().find(name);
    const std::string& text = used == object.status().used().end() ? "0" : used->second.string();
    (name.starts_with("limits.") ? limits : requests).push_back(cat(name, ": ", text, "/", amount));
  }
  return {object.metadata().name(), joined(requests, ", "), joined(limits, ", "), age(object.metadata(), now)};
}

void set_defaults(core::ResourceQuota* object) {
  apply_constant_defaults(object);
  round_amounts(object->mutable_spec()->mutable_hard());
  round_amounts(object->mutable_status()->mutable_hard());
  round_amounts(object->mutable_status()->mutable_used());
}

constexpr std::initializer_list<std::string_view> kScopes = {
    "BestEffort",  "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass",
    "Terminating", "VolumeAttributesClass"};

bool is_scope(std::string_view name) { return std::ranges::find(kScopes, name) != kScopes.end(); }

void check_scopes(const core::ResourceQuotaSpec& spec, const Check& check) {
  for (const std::string& scope : spec.scopes()) {
    if (!is_scope(scope)) check.at("scopes").invalid(scope, "is no scope of a quota");
  }
  // Upstream names the expressions without their number.
  const Check expressions = check.at("scopeSelector").at("matchExpressions");
  for (const core::ScopedResourceSelectorRequirement& wanted : spec.scope_selector().match_expressions()) {
    if (!is_scope(wanted.scope_name())) {
      expressions.at("scopeName").invalid(wanted.scope_name(), "is no scope of a quota");
    }
    const std::string& op = wanted.operator_();
    const bool of_values = op == "In" || op == "NotIn";
    if (of_values && wanted.values().empty()) expressions.at("values").required("must have at least one value");
    if (!of_values && !wanted.values().empty() && (op == "Exists" || op == "DoesNotExist")) {
      expressions.at("values").invalid("", "must be empty when operator is Exists or DoesNotExist");
    }
    if (!of_values && op != "Exists" && op != "DoesNotExist") {
      expressions.at("operator").invalid(op, "must be In, NotIn, Exists or DoesNotExist");
    }
  }
}

FieldProblems validate(const core::ResourceQuota& object) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec").at("hard");
  for (const auto& [name, amount] : object.spec().hard()) {
    check_quota_resource_name(name, check.key(name));
    check_amount(name, amount.string(), check.key(name));
  }
  check_scopes(object.spec(), Check(&problems).at("spec"));
  return problems;
}

FieldProblems validate_update(const core::ResourceQuota& old, const core::ResourceQuota& updated) {
  FieldProblems problems;
  const std::set<std::string> before(old.spec().scopes().begin(), old.spec().scopes().end());
  const std::set<std::string> now(updated.spec().scopes().begin(), updated.spec().scopes().end());
  if (before != now) Check(&problems).at("spec").at("scopes").invalid("", "field is immutable");
  return problems;
}

}  // namespace

Kind resource_quota_kind() {
  Kind kind = make_kind<core::ResourceQuota>("resourcequotas", "resourcequota", {"quota"});
  kind.storage = "resourcequotas";
  kind.answers_deleted = true;
  kind.validate = over(&validate);
  kind.update.validate = over(&validate_update);
  kind.set_defaults = over(&set_defaults);
  add_status(&kind);
  kind.table = {{name_column(), column("Request", "string", "What is used of what may be requested."),
                 column("Limit", "string", "What is used of what limits may add up to."), age_column()},
                over(&row)};
  return kind;
}

}  // namespace gantry::api
