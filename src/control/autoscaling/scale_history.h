// SPDX-License-Identifier: Apache-2.0
// ScaleHistory: what was proposed and done of late for one HorizontalPodAutoscaler, and what may be done now: within
// its bounds, at the pace of its policies, and no sooner than its stabilization windows say. By upstream's rules, in
// its words. It is in memory alone: after a start the windows begin anew with the replicas that there are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/autoscaling/settings.h"

namespace k8s::io::api::autoscaling::v2 {
class HPAScalingRules;
class HorizontalPodAutoscalerBehavior;
class HorizontalPodAutoscalerSpec;
}  // namespace k8s::io::api::autoscaling::v2

namespace gantry::control::autoscaling {

// The reason and the message of a condition.
struct Reason {
  std::string reason;
  std::string message;
  friend bool operator==(const Reason&, const Reason&) = default;
};

struct Allowed {
  std::int32_t replicas = 0;
  Reason able;              // of AbleToScale, which is True
  bool is_limited = false;  // of ScalingLimited
  Reason limit;
};

class ScaleHistory {
 public:
  // Times are seconds since 1970.
  // The first time of all: that the replicas are as they are counts as a proposal.
  void begin(std::int32_t current, std::int64_t now);
  // `minimum` is the spec's, or its default. `proposed` is remembered.
  Allowed allow(const k8s::io::api::autoscaling::v2::HorizontalPodAutoscalerSpec& spec, std::int32_t minimum,
                std::int32_t current, std::int32_t proposed, const Settings& settings, std::int64_t now);
  // It was done.
  void scaled(const k8s::io::api::autoscaling::v2::HorizontalPodAutoscalerSpec& spec, std::int32_t from,
              std::int32_t to, std::int64_t now);

 private:
  using Rules = k8s::io::api::autoscaling::v2::HPAScalingRules;
  struct Entry {
    std::int32_t replicas = 0;  // proposed; or by how many it was changed
    std::int64_t at = 0;
  };
  struct Stabilized {
    std::int32_t replicas = 0;
    Reason able;
  };
  Stabilized stabilize(std::int32_t proposed, const Settings& settings, std::int64_t now);
  Stabilized stabilize(const k8s::io::api::autoscaling::v2::HorizontalPodAutoscalerBehavior& behavior,
                       std::int32_t current, std::int32_t proposed, const Settings& settings, std::int64_t now);
  // How many there may be at most, or must be at least, by the policies.
  std::int64_t limit_up(const Rules& rules, std::int32_t current, std::int64_t now) const;
  std::int64_t limit_down(const Rules& rules, std::int32_t current, std::int64_t now) const;
  std::int64_t at_begin_of(std::int32_t period, std::int32_t current, std::int64_t now) const;

  std::vector<Entry> proposals_;
  std::vector<Entry> ups_, downs_;
};

}  // namespace gantry::control::autoscaling
