// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/pod_state.h"

#include "control/controllers/pods.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::workloads {

namespace core = k8s::io::api::core::v1;

namespace {

const core::PodCondition* ready_condition(const core::Pod& pod) {
  for (const core::PodCondition& condition : pod.status().conditions()) {
    if (condition.type() == "Ready") return condition.status() == "True" ? &condition : nullptr;
  }
  return nullptr;
}

}  // namespace

bool is_active(const core::Pod& pod) { return !has_ended(pod) && !pod.metadata().has_deletion_timestamp(); }

bool is_terminating(const core::Pod& pod) { return !has_ended(pod) && pod.metadata().has_deletion_timestamp(); }

bool is_ready(const core::Pod& pod) { return ready_condition(pod) != nullptr; }

std::optional<std::int64_t> ready_since(const core::Pod& pod) {
  const core::PodCondition* condition = ready_condition(pod);
  if (condition == nullptr || !condition->last_transition_time().has_seconds()) return std::nullopt;
  return condition->last_transition_time().seconds();
}

bool is_available(const core::Pod& pod, std::int64_t min_ready_seconds, std::int64_t now) {
  if (min_ready_seconds == 0) return is_ready(pod);
  const std::optional<std::int64_t> since = ready_since(pod);
  return since && *since + min_ready_seconds <= now;
}

std::optional<std::int64_t> seconds_to_available(const core::Pod& pod, std::int64_t min_ready_seconds,
                                                 std::int64_t now) {
  const std::optional<std::int64_t> since = ready_since(pod);
  if (!since || is_available(pod, min_ready_seconds, now)) return std::nullopt;
  return *since + min_ready_seconds - now;
}

}  // namespace gantry::control::workloads
