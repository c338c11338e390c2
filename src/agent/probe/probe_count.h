// SPDX-License-Identifier: Apache-2.0
// How often probes were made, for metrics. Values.
#pragma once

#include <cstdint>
#include <string>

#include "agent/probe/probe_kind.h"

namespace gantry::agent {

// Of one probe of a container since the pod is here.
struct ProbeCount {
  std::uint64_t successful = 0, failed = 0, unknown = 0;
};

// Whose it is.
struct CountedProbe {
  std::string pod_uid, namespace_, pod, container;
  ProbeKind kind = ProbeKind::kReadiness;
  ProbeCount count;
};

}  // namespace gantry::agent
