// SPDX-License-Identifier: Apache-2.0
// How HorizontalPodAutoscalers are served, by upstream's names and defaults (--horizontal-pod-autoscaler-...).
#pragma once

#include <chrono>

namespace gantry::control::autoscaling {

using Seconds = std::chrono::seconds;

struct Settings {
  Seconds sync_period{15};                // each is looked at so often
  Seconds downscale_stabilization{300};   // the highest proposal of this time counts, where the object says nothing
  Seconds cpu_initialization_period{300}; // of a pod, in which its CPU counts only while it has been ready all along
  Seconds initial_readiness_delay{30};    // a pod that became unready within it was never ready
  double tolerance = 0.1;                 // so much above or below the target changes nothing
};

// The same of one object, whose behavior may say others.
struct Tolerances {
  double down = 0.1;
  double up = 0.1;
  bool has(double ratio) const { return 1.0 - down <= ratio && ratio <= 1.0 + up; }
};

}  // namespace gantry::control::autoscaling
