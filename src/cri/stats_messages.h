// SPDX-License-Identifier: Apache-2.0
// What was read of a cgroup and of links, in the CRI's messages. Only what was read is said: without a controller there
// is no number, never a zero. Each part carries the time of its reading. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "cgroups/stats.h"
#include "cri/runtime/v1/api.pb.h"
#include "netns/link_counters.h"

namespace gantry::cri {

namespace v1 = ::runtime::v1;

std::int64_t nanoseconds(std::chrono::system_clock::time_point time);

// CPU, memory and pressure, of a container also swap. `nano_cores` is the CPU's use between two readings.
void fill(const cgroups::Stats& sample, const std::optional<std::uint64_t>& nano_cores, v1::ContainerStats& stats);
void fill(const cgroups::Stats& sample, const std::optional<std::uint64_t>& nano_cores,
          v1::LinuxPodSandboxStats& stats);
// The default interface is eth0, or the first.
void fill(const std::vector<netns::LinkCounters>& links, std::int64_t read_at, v1::NetworkUsage& usage);

// Cores in use between two readings, in billionths; nothing when they are too close to tell.
std::optional<std::uint64_t> nano_cores(const cgroups::Stats& before, const cgroups::Stats& after);

}  // namespace gantry::cri
