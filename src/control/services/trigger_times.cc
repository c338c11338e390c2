// SPDX-License-Identifier: Apache-2.0
#include "control/services/trigger_times.h"

#include <algorithm>
#include <optional>

#include "api/time.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::services {

namespace core = k8s::io::api::core::v1;

namespace {

// When it became ready, or ceased to be so; 0: unknown.
std::int64_t time_of(const core::Pod& pod) {
  for (const core::PodCondition& condition : pod.status().conditions()) {
    if (condition.type() == "Ready") return condition.last_transition_time().seconds();
  }
  return 0;
}

}  // namespace

std::string TriggerTimes::next(const std::string& key, const core::Service& service,
                               const std::vector<std::shared_ptr<const core::Pod>>& pods) {
  const auto [entry, is_new] = known_.try_emplace(key);
  Known& known = entry->second;
  Known seen{.service = service.metadata().creation_timestamp().seconds(), .pods = {}};
  std::optional<std::int64_t> earliest;
  const auto take = [&earliest](std::int64_t time) { earliest = std::min(earliest.value_or(time), time); };
  for (const auto& pod : pods) {
    const std::int64_t time = time_of(*pod);
    if (time == 0) continue;
    seen.pods[pod->metadata().name()] = time;
    const auto last = known.pods.find(pod->metadata().name());
    if (last == known.pods.end() || last->second < time) take(time);
  }
  if (known.service < seen.service) take(seen.service);
  // What happened before the first look is not to be known any more.
  if (is_new) earliest = seen.service;
  known = std::move(seen);
  return earliest && *earliest != 0 ? api::format_rfc3339(*earliest) : std::string();
}

}  // namespace gantry::control::services
