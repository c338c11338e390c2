// SPDX-License-Identifier: Apache-2.0
// What a cgroup's files say at one moment. Only what the kernel gives: a file or a field that is not there is an
// optional without a value, never a zero; "max" (no limit) is nothing, too, where a limit is read. A reading costs
// about one open, read and close a file; who needs the same numbers twice within a short time keeps the Stats.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cgroups/cgroup.h"
#include "cgroups/resources.h"

namespace gantry::cgroups {

using Counter = std::optional<std::uint64_t>;

// Pressure stall information: the share of time (percent) in which some, or all, tasks waited for a resource.
struct Pressure {
  struct Line {
    double avg10 = 0, avg60 = 0, avg300 = 0;
    std::uint64_t total_usec = 0;
  };
  std::optional<Line> some, full;
};

struct CpuStats {
  Counter usage_usec, user_usec, system_usec;  // there without the cpu controller too
  Counter periods, throttled_periods, throttled_usec, bursts, burst_usec;
  Counter weight;
  Counter quota_usec, period_usec;
  std::optional<Pressure> pressure;
};

struct MemoryStats {
  Counter current, peak, max, high, low, min;
  Counter swap_current, swap_peak, swap_max;
  // memory.stat, by its own names: anon, file, inactive_file, active_file, kernel, slab, pgfault, pgmajfault, ...
  std::map<std::string, std::uint64_t, std::less<>> stat;
  // memory.events: low, high, max, oom, oom_kill, oom_group_kill; with what happened beneath.
  std::map<std::string, std::uint64_t, std::less<>> events;
  std::optional<Pressure> pressure;

  Counter value(std::string_view name) const;
  // current without inactive_file, as Kubernetes counts what a pod really needs; nothing when either is not there.
  Counter working_set() const;
};

struct PidsStats {
  Counter current, max, peak;
  Counter max_events;  // forks that were refused
};

struct IoStats {
  struct Device {
    DeviceNumber device;
    std::uint64_t read_bytes = 0, write_bytes = 0, reads = 0, writes = 0, discard_bytes = 0, discards = 0;
  };
  std::vector<Device> devices;
  std::optional<Pressure> pressure;
};

struct CpusetStats {
  std::string cpus, mems;                      // as they were set; empty: inherited
  std::string effective_cpus, effective_mems;  // what is in force
};

struct HugetlbStats {
  std::string page_size;
  Counter current, max;
  Counter max_events;  // allocations that were refused
};

struct MiscStats {
  std::map<std::string, std::uint64_t, std::less<>> current;
};

struct Stats {
  std::chrono::system_clock::time_point read_at;
  std::optional<CpuStats> cpu;
  std::optional<MemoryStats> memory;
  std::optional<PidsStats> pids;
  std::optional<IoStats> io;
  std::optional<CpusetStats> cpuset;
  std::vector<HugetlbStats> hugetlb;
  std::optional<MiscStats> misc;
};

// Fails only when the cgroup is gone (is_not_found()) or a file of it can't be read for a reason other than not being
// there.
Result<Stats> read_stats(const Cgroup& cgroup);
// memory.events' oom_kill alone: processes of this cgroup (and beneath) that the OOM killer took. Nothing without the
// controller.
Result<Counter> read_oom_kills(const Cgroup& cgroup);

}  // namespace gantry::cgroups
