// SPDX-License-Identifier: Apache-2.0
#include "control/scheduler/disruption_budget.h"

#include "control/scheduler/pod_info.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/policy/v1/policy.pb.h"

namespace gantry::control::scheduling {

DisruptionBudget read_budget(const k8s::io::api::policy::v1::PodDisruptionBudget& budget) {
  DisruptionBudget out{.left = budget.status().disruptions_allowed()};
  out.pods =
      budget.spec().has_selector() ? read_selector(budget.spec().selector()) : api::LabelSelector::nothing();
  for (const auto& [name, since] : budget.status().disrupted_pods()) out.leaving.insert(name);
  return out;
}

}  // namespace gantry::control::scheduling
