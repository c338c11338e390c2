// SPDX-License-Identifier: Apache-2.0
// How many replicas a metric asks for, by upstream's rules: the use of pods against a target, where pods that have just
// begun, are not ready or say nothing count so that they hold a change back and never turn it round. Pure.
//
// Amounts are thousandths (of a core, of a byte, of whatever a metric counts). Errors are sentences for people.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/time.h"
#include "base/result.h"
#include "control/autoscaling/settings.h"

namespace k8s::io::api::core::v1 {
class Pod;
}

namespace gantry::control::autoscaling {

struct PodMetric {
  std::int64_t value = 0;
  std::int64_t at = 0;          // seconds since 1970: the end of the window
  double window_seconds = 0;
};
using PodMetrics = std::map<std::string, PodMetric>;  // by the pod's name
using Pods = std::vector<std::shared_ptr<const k8s::io::api::core::v1::Pod>>;

// What all of them are asked with.
struct Question {
  std::int32_t current = 0;  // replicas
  Tolerances tolerances;
  Settings settings;
  std::int64_t now = 0;  // seconds since 1970
};

struct Proposal {
  std::int32_t replicas = 0;
  std::int64_t usage = 0;                  // of one pod on the average, or the whole: as the target is
  std::optional<std::int32_t> percentage;  // of what the pods request
};

// `pods`: those that the target's selector selects; `resource`: "cpu", "memory"; `container`: of this one alone, "" of
// all; `target`: percent of what they request.
Result<Proposal> replicas_for_utilization(const Question& question, const Pods& pods, PodMetrics metrics,
                                          const std::string& resource, const std::string& container,
                                          std::int32_t target);

// `target`: of each pod on the average. `resource`: "" of other metrics.
Result<Proposal> replicas_for_average(const Question& question, const Pods& pods, PodMetrics metrics,
                                      const std::string& resource, std::int64_t target);

// A number that is none of the pods', in proportion to those that are ready.
Result<Proposal> replicas_for_value(const Question& question, const Pods& pods, std::int64_t usage,
                                    std::int64_t target);

// A number that is shared by the pods, `question.current` of them.
Proposal replicas_for_share(const Question& question, std::int64_t usage, std::int64_t target);

}  // namespace gantry::control::autoscaling
