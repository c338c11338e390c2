// SPDX-License-Identifier: Apache-2.0
// What a deployment says of itself: counts, and the conditions Available, Progressing and ReplicaFailure in upstream's
// words. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/workloads/deployment_sets.h"

namespace gantry::control::workloads {

// What was done before it says so.
struct RolloutNews {
  std::string created;       // the name of the set that was made; "" none was
  std::string create_error;  // why it could not be made
  bool is_rollout = false;   // see RolloutStep
};

k8s::io::api::apps::v1::DeploymentStatus status_of(const Deployment& deployment, const std::vector<SetPtr>& sets,
                                                   const RolloutNews& news, std::int64_t now);

// The seconds until it may have waited in vain for progress; none: it does not wait.
std::optional<std::int64_t> seconds_to_deadline(const Deployment& deployment,
                                                const k8s::io::api::apps::v1::DeploymentStatus& status,
                                                std::int64_t now);

}  // namespace gantry::control::workloads
