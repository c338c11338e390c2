// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
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

}  // namespace

Kind pod_disruption_budget_kind() {
  Kind kind = make_kind<policy::PodDisruptionBudget>("poddisruptionbudgets", "poddisruptionbudget", {"pdb"});
  kind.storage = "poddisruptionbudgets";
  kind.has_generation = true;
  kind.table = {{name_column(), column("Min Available", "string", "How many pods must be available."),
                 column("Max Unavailable", "string", "How many pods may be unavailable."),
                 column("Allowed Disruptions", "integer", "How many pods may be evicted now."), age_column()},
                over(&row)};
  add_status(&kind);
  return kind;
}

}  // namespace gantry::api
