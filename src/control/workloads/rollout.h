// SPDX-License-Identifier: Apache-2.0
// What a deployment's replica sets need next: one step on the way from one template to the next, by upstream's rules.
// Each step follows from what is there, so who died in the middle goes on. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "control/workloads/deployment_sets.h"

namespace gantry::control::workloads {

struct SetChange {
  SetPtr set;
  std::optional<std::int32_t> size;
  Annotations annotations;  // to be added
  std::optional<std::int32_t> min_ready_seconds;
};

struct RolloutStep {
  std::optional<ReplicaSet> create;
  std::vector<SetChange> changes;
  std::vector<SetPtr> remove;  // old ones that are kept no longer
  bool is_rollout = false;     // progress is looked at: it is neither paused nor only brought to another size
};

// `sets`: all of its own. `old_pods_run`: pods of other sets than the one with its template have not ended, whether
// they are ending or not; only asked of one that is recreated.
RolloutStep next_step(const Deployment& deployment, const Owner& owner, const std::vector<SetPtr>& sets,
                      bool old_pods_run);

// All its pods are there, of the template, and available, and `status` says it of the deployment as it is.
bool is_complete(const Deployment& deployment, const k8s::io::api::apps::v1::DeploymentStatus& status);

}  // namespace gantry::control::workloads
