// SPDX-License-Identifier: Apache-2.0
// What is left of PodDisruptionBudgets: how many of some pods may be made to leave. Plain values; one thread.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "api/label_selector.h"

namespace k8s::io::api::policy::v1 {
class PodDisruptionBudget;
}

namespace gantry::control::scheduling {

struct DisruptionBudget {
  api::LabelSelector pods;
  std::int64_t left = 0;
  std::set<std::string> leaving;  // names of pods that were let go and are counted already
};
using DisruptionBudgets = std::map<std::string, DisruptionBudget>;  // by "namespace/name"

DisruptionBudget read_budget(const k8s::io::api::policy::v1::PodDisruptionBudget& budget);

}  // namespace gantry::control::scheduling
