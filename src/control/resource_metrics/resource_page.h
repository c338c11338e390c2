// SPDX-License-Identifier: Apache-2.0
// What a node says of its use: the page /metrics/resource of a kubelet, in Prometheus' text form (0.0.4). Only the
// families that are asked for here are read; others may stand between them. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/result.h"

namespace gantry::control {

// One number, and when it was measured if the page says so.
struct Measurement {
  double value = 0;
  std::optional<std::int64_t> at;  // milliseconds since 1970
};

struct UsageReading {
  std::optional<Measurement> cpu;     // seconds since the beginning
  std::optional<Measurement> memory;  // bytes of the working set
  std::optional<double> started;      // seconds since 1970, of a container
};

struct NodeReading {
  UsageReading node;
  // By "namespace/pod", and then by the container's name.
  std::unordered_map<std::string, std::map<std::string, UsageReading>> pods;
};

// At most so many containers; a page with more is refused.
inline constexpr std::size_t kMaxContainers = 20'000;

// Numbers that are negative or none are left out. kInvalidArgument names the line that can't be read.
Result<NodeReading> parse_resource_page(std::string_view page);

}  // namespace gantry::control
