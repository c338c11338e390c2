// SPDX-License-Identifier: Apache-2.0
// What a probe is for. A startup probe says when a container has started, once; until then the others don't ask. A
// container that fails it, or its liveness probe, is ended; one that fails its readiness probe gets no traffic.
#pragma once

#include <cstdint>
#include <string_view>

namespace gantry::agent {

enum class ProbeKind : std::uint8_t { kStartup, kLiveness, kReadiness };

// "Startup", as events and metrics have it.
constexpr std::string_view to_string(ProbeKind kind) {
  switch (kind) {
    case ProbeKind::kStartup:
      return "Startup";
    case ProbeKind::kLiveness:
      return "Liveness";
    default:
      return "Readiness";
  }
}

}  // namespace gantry::agent
