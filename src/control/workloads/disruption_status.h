// SPDX-License-Identifier: Apache-2.0
// What a PodDisruptionBudget says of its pods: how many of them may be made to leave. Pure; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kubernetes/policy/v1/policy.pb.h"

namespace k8s::io::api::core::v1 {
class Pod;
}

namespace gantry::control::workloads {

using Budget = k8s::io::api::policy::v1::PodDisruptionBudget;
using BudgetStatus = k8s::io::api::policy::v1::PodDisruptionBudgetStatus;
using PodList = std::vector<std::shared_ptr<const k8s::io::api::core::v1::Pod>>;

// So long a pod that was let go may take until it is being deleted; then it counts again.
inline constexpr std::int64_t kDisruptionLimit = 120;  // seconds

// Pods that were let go and are not being deleted yet.
struct Disrupted {
  std::map<std::string, std::int64_t> pods;  // by name: when, in seconds since 1970
  std::optional<std::int64_t> recheck;       // seconds until the first of them counts again
  PodList overdue;                           // those that count again
};
Disrupted disrupted_pods(const Budget& budget, const PodList& pods, std::int64_t now);

int count_healthy(const PodList& pods, const Disrupted& disrupted);

// The budget goes by what those who own the pods want, and not by how many there are.
bool needs_scale(const Budget& budget);

struct Wanted {
  int expected = 0;
  int healthy = 0;
};
// `scale`: how many pods their owners want; without meaning unless needs_scale().
Wanted wanted_pods(const Budget& budget, int pods, int scale);

// The status of the budget from now on; none: it is so already.
std::optional<BudgetStatus> next_status(const Budget& budget, int healthy, Wanted wanted, const Disrupted& disrupted,
                                        std::int64_t now);
// That of one of which nothing can be said: nothing may leave.
std::optional<BudgetStatus> failed_status(const Budget& budget, const std::string& error, std::int64_t now);

// How long until the pod's condition DisruptionTarget says nothing any more, because it was not deleted: 0 if that is
// so now, none if it will not be.
std::optional<std::int64_t> stale_target_in(const k8s::io::api::core::v1::Pod& pod, std::int64_t now);

}  // namespace gantry::control::workloads
