// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/core/workload.h"
#include "api/kinds/policy/kinds.h"
#include "kubernetes/policy/v1/policy.pb.h"

namespace gantry::api {

namespace {

namespace policy = k8s::io::api::policy::v1;

std::vector<Value> row(const policy::PodDisruptionBudget& object, int64_t now) {
  const policy::PodDisruptionBudgetSpec& spec = object.spec();
  return {object.metadata().name(), spec.has_min_available() ? int_or_string_text(spec.min_available()) : "N/A",
          spec.has_max_unavailable() ? int_or_string_text(spec.max_unavailable()) : "N/A",
          object.status().disruptions_allowed(), age(object.metadata(), now)};
}

FieldProblems validate(const policy::PodDisruptionBudget& object) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec");
  const policy::PodDisruptionBudgetSpec& spec = object.spec();
  if (spec.has_min_available() && spec.has_max_unavailable()) {
    check.invalid("", "minAvailable and maxUnavailable can not both be set");
  }
  if (spec.has_min_available()) check_share(spec.min_available(), true, check.at("minAvailable"));
  if (spec.has_max_unavailable()) check_share(spec.max_unavailable(), true, check.at("maxUnavailable"));
  if (spec.has_selector()) check_label_selector(spec.selector(), check.at("selector"));
  if (spec.has_unhealthy_pod_eviction_policy()) {
    check.at("unhealthyPodEvictionPolicy")
        .one_of(spec.unhealthy_pod_eviction_policy(), {"AlwaysAllow", "IfHealthyBudget"});
  }
  return problems;
}

}  // namespace

Kind pod_disruption_budget_kind() {
  Kind kind = make_kind<policy::PodDisruptionBudget>("poddisruptionbudgets", "poddisruptionbudget", {"pdb"});
  kind.storage = "poddisruptionbudgets";
  kind.updates_by_version = true;
  kind.validate = over(&validate);
  kind.has_generation = true;
  kind.table = {{name_column(), column("Min Available", "string", "How many pods must be available."),
                 column("Max Unavailable", "string", "How many pods may be unavailable."),
                 column("Allowed Disruptions", "integer", "How many pods may be evicted now."), age_column()},
                over(&row)};
  add_status(&kind);
  return kind;
}

}  // namespace gantry::api
