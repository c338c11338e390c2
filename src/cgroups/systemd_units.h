// SPDX-License-Identifier: Apache-2.0
// Units that systemd makes at our word, asked for on the system bus. Each call connects anew, so that a bus that was
// restarted is nothing special; it blocks, kUnitLimit at most. kUnavailable when nobody answers there; what systemd
// refuses comes with its own words.
// Source: org.freedesktop.systemd1(5), systemd's CGROUP_DELEGATION.md.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace gantry::cgroups {

inline constexpr std::chrono::seconds kUnitLimit{30};

// systemd ends it by itself when nothing is in it any more.
struct SliceUnit {
  std::string name;
  std::string description;
  std::optional<std::uint64_t> cpu_weight;
};

// Delegated: what is beneath it is ours. It lives as long as a process is in it or beneath it, and is forgotten then.
struct ScopeUnit {
  std::string name;
  std::string description;
  std::string slice;
  pid_t first = 0;                // moved into it
  std::vector<SliceUnit> slices;  // made with it, above it
};

// What all that is in a slice has together; what is not set stays as it is.
struct SliceLimits {
  std::string name;
  std::string description;
  std::optional<std::uint64_t> cpu_weight, memory_max, tasks_max;
  bool operator==(const SliceLimits&) const = default;
};

// Returns when the scope is there, with its process in it. False, and nothing was made, when systemd has a unit of its
// name, or of one of its slices'; or when another slice above it has just gone (systemd 252 finds no slice any more of
// the name of one that we made, it has ended, and there was a daemon-reload in its life).
Result<bool> start_scope(const ScopeUnit& scope);

// Makes the slice, or takes for ours one that is there because units named it and nobody made it. False when somebody
// did.
Result<bool> start_slice(const SliceUnit& slice);

// Sets the limits of a slice that is there, whoever made it, until the machine's next boot; one that is not there is
// made, and stays when nothing is in it.
Status limit_slice(const SliceLimits& slice);

}  // namespace gantry::cgroups
