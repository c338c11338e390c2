// SPDX-License-Identifier: Apache-2.0
// What is to be done next for a StatefulSet: pods in the order of their ordinals, each when the one before it is
// available, unless the policy is Parallel; those beyond the last one go from the end; a new template comes to the last
// pod first. Pure: objects in, writes out; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/workloads/stateful_identity.h"

namespace gantry::control::workloads {

struct StatefulView {
  const k8s::io::api::apps::v1::StatefulSet& set;
  // The names of the two revisions; they may be one.
  std::string current, update;
  // The set's, all with an ordinal.
  const std::vector<std::shared_ptr<const k8s::io::api::core::v1::Pod>>& pods;
  std::int64_t now = 0;  // seconds since 1970
};

struct StatefulPlan {
  using PodPtr = std::shared_ptr<const k8s::io::api::core::v1::Pod>;
  struct Missing {
    std::int64_t ordinal = 0;
    bool is_updated = false;  // of the new template, else of the current one
  };
  std::vector<Missing> made;
  std::vector<PodPtr> removed;
  std::vector<PodPtr> pending;  // whose claims must be there
  std::vector<PodPtr> kept;     // whose labels and claims' owners are to be right
};
StatefulPlan plan_stateful(const StatefulView& view);

// The set's, without observedGeneration, collisionCount and conditions. When an update is complete the new revision is
// the current one.
k8s::io::api::apps::v1::StatefulSetStatus stateful_status(const StatefulView& view);
// In how many seconds a pod that is ready will be available.
std::optional<std::int64_t> stateful_wait(const StatefulView& view);

}  // namespace gantry::control::workloads
