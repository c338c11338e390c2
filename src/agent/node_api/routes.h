// SPDX-License-Identifier: Apache-2.0
// Which route of the node API a path is, with its parts decoded. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "agent/node_api/pod_lookup.h"

namespace gantry::agent {

struct Route {
  enum class Kind : std::uint8_t {
    kHealth,
    kPods,
    kRunningPods,
    kConfiguration,
    kSummary,
    kAgentMetrics,
    kCadvisorMetrics,
    kResourceMetrics,
    kProbeMetrics,
    kIndicators,
    kLogs,
    kExec,
    kAttach,
    kPortForward,
  };
  Kind kind = Kind::kHealth;
  std::string path;  // decoded
  PodPath pod;       // of the last four

  bool is_of_pod() const { return kind >= Kind::kLogs; }
  // It goes into a container, and may change what is there.
  bool is_stream() const { return kind >= Kind::kExec; }
};

// Nothing: no route. A segment that is empty, "." or "..", or has a slash or a control character in it, names nothing.
std::optional<Route> parse_route(std::string_view path);

}  // namespace gantry::agent
