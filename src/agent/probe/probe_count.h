// SPDX-License-Identifier: Apache-2.0
// How often probes were made and how long they took, for metrics. Values.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "agent/probe/probe_kind.h"

namespace gantry::agent {

// A histogram of seconds.
struct ProbeTimes {
  // Where its buckets end, as Prometheus' clients have them; one more is beyond all.
  static constexpr std::array<double, 11> kBounds = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

  void add(double seconds) {
    ++counts[static_cast<std::size_t>(std::ranges::lower_bound(kBounds, seconds) - kBounds.begin())];
    sum += seconds;
  }

  std::array<std::uint64_t, kBounds.size() + 1> counts = {};
  double sum = 0;
};

// Of one probe of a container since the pod is here.
struct ProbeCount {
  std::uint64_t successful = 0, failed = 0, unknown = 0;
  ProbeTimes times = {};  // of those that did not fail, as kubelet has it
};

// Whose it is.
struct CountedProbe {
  std::string pod_uid, namespace_, pod, container;
  ProbeKind kind = ProbeKind::kReadiness;
  ProbeCount count;
};

}  // namespace gantry::agent
