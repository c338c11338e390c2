// SPDX-License-Identifier: Apache-2.0
// Use: what nodes, pods and containers use, from two readings of a node: CPU is the rate between them, memory that of
// the second. By the rules of upstream's metrics-server: what has no two readings has no use yet, but for a container
// that began in between. What a node does not measure (a controller that its cgroups lack) is left out. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "control/resource_metrics/resource_page.h"

namespace gantry::control {

struct Use {
  std::optional<std::int64_t> cpu;     // billionths of a core
  std::optional<std::int64_t> memory;  // bytes
  bool is_known() const { return cpu || memory; }
};

// Measured in the time `window` that ended at `end`.
struct Measured {
  std::chrono::milliseconds end{};  // since 1970
  std::chrono::milliseconds window{};
};

struct PodUse : Measured {
  std::map<std::string, Use> containers;
};

struct NodeUse : Measured {
  std::optional<Use> node;  // empty: not known yet
  std::unordered_map<std::string, PodUse> pods;  // by "namespace/pod"
};

// A node's page, and when it came.
struct TakenReading {
  NodeReading reading;
  std::chrono::milliseconds at{};  // since 1970
};

// `before` may be null. `resolution` is the time between two readings: a container that began less than two of them ago
// counts from its beginning.
NodeUse use_between(const TakenReading* before, const TakenReading& now, std::chrono::milliseconds resolution);

}  // namespace gantry::control
