// SPDX-License-Identifier: Apache-2.0
// Limits of a cgroup, as plain values. What is not set is not written, so that an update names only what changes. The
// words are the CRI's and the OCI runtime specification's (both have cgroup v1's); apply() turns them into cgroup v2's
// files.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cgroups/cgroup.h"

namespace gantry::cgroups {

struct CpuLimits {
  std::optional<std::uint64_t> shares;  // 2 to 262144 of cgroup v1, 1024 is one CPU; 0 is "not set". To cpu.weight
  std::optional<std::uint64_t> weight;  // cpu.weight itself, 1 to 10000; wins over shares
  std::optional<std::int64_t> quota;    // microseconds of CPU time in each period; -1 for no limit, 0 is "not set"
  std::optional<std::uint64_t> period;  // microseconds, 1000 to 1000000; 0 is "not set" (the kernel's 100000)
  std::optional<std::uint64_t> burst;   // microseconds, at most the quota
  std::optional<bool> idle;             // cpu.idle
};

struct CpusetLimits {
  std::string cpus;  // "0-2,7"; empty is "not set"
  std::string mems;
};

// Bytes; -1 is no limit.
struct MemoryLimits {
  std::optional<std::int64_t> limit;  // memory.max: over it the OOM killer acts. 0 is "not set"
  std::optional<std::int64_t> high;   // memory.high: over it the kernel throttles and reclaims
  std::optional<std::int64_t> low;    // memory.low: best-effort protection (OCI's reservation)
  std::optional<std::int64_t> min;    // memory.min: hard protection
  std::optional<std::int64_t>
      swap_total;                 // memory and swap together, as CRI and OCI have it: at least `limit`. 0 is "not set"
  std::optional<bool> oom_group;  // memory.oom.group: the OOM killer takes all of the cgroup or none
};

struct DeviceNumber {
  std::uint32_t major = 0, minor = 0;
  bool operator==(const DeviceNumber&) const = default;
};

struct IoLimits {
  std::optional<std::uint16_t> weight;  // 10 to 1000 of cgroup v1's blkio; 0 is "not set"
  struct DeviceWeight {
    DeviceNumber device;
    std::uint16_t weight = 0;
  };
  std::vector<DeviceWeight> device_weights;
  // Of one device: bytes and operations a second; 0 takes a limit away.
  struct Throttle {
    DeviceNumber device;
    std::optional<std::uint64_t> read_bytes, write_bytes, read_operations, write_operations;
  };
  std::vector<Throttle> throttles;
};

struct HugepageLimit {
  std::string page_size;    // "2MB", "1GB", as the kernel names them
  std::uint64_t limit = 0;  // bytes
};

struct Resources {
  CpuLimits cpu;
  CpusetLimits cpuset;
  MemoryLimits memory;
  std::optional<std::int64_t> pids;  // pids.max; -1 for no limit, 0 is "not set"
  IoLimits io;
  std::vector<HugepageLimit> hugepages;
  // Files of cgroup v2 by name ("memory.high", "misc.max"), written last, as they are. Never "cgroup.*".
  std::map<std::string, std::string> unified;
};

// A limit that was asked for and is not in force because the kernel here has no file for it.
struct NotEnforced {
  std::string file;    // "memory.max"
  std::string value;   // what would have been written
  std::string reason;  // "this cgroup has no memory controller"
};

// Writes all that is set. Stops at the first value that is wrong (kInvalidArgument, naming it) or that the kernel
// refuses; what was written before stays. Values are checked before the first one is written. What could not be
// enforced is returned: whether that is an error is the caller's decision.
Result<std::vector<NotEnforced>> apply(const Cgroup& cgroup, const Resources& resources);
// The check of the values alone.
Status validate(const Resources& resources);

// cgroup v1's cpu.shares in v2's cpu.weight: 2, 1024 and 262144 become 1, 100 and 10000, and what is between lies on a
// curve through these three (10^((l*l + 125*l) / 612 - 7 / 34) with l = log2(shares), rounded up), as runc 1.3.2 and
// crun 1.23 have it. The older straight line made 1024 shares a weight of 39, which starved pods beside everything of
// the system's. 0 stays 0.
std::uint64_t cpu_weight_from_shares(std::uint64_t shares);
// blkio's 10 to 1000 in io.weight's 1 to 10000. 0 stays 0.
std::uint64_t io_weight_from_blkio(std::uint16_t weight);

}  // namespace gantry::cgroups
