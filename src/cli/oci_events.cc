// SPDX-License-Identifier: Apache-2.0
// gantry-oci events: runc's documents, in which a number that is zero is mostly left out.
#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <optional>

#include "base/text.h"
#include "cgroups/stats.h"
#include "cli/oci_cgroup.h"
#include "cli/oci_commands.h"
#include "cli/oci_container.h"
#include "cli/oci_units.h"
#include "sys/epoll.h"
#include "sys/file.h"

namespace gantry::cli {
namespace {

namespace json = boost::json;
using cgroups::Counter;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kNoLimit = UINT64_MAX;
constexpr std::uint64_t kNanosecondsEach = 1000;  // microsecond

void put(json::object& out, const char* name, Counter value, std::uint64_t factor = 1) {
  if (value.value_or(0) != 0) out[name] = *value * factor;
}

void put_pressure(json::object& out, const std::optional<cgroups::Pressure>& pressure) {
  if (!pressure) return;
  auto line = [](const std::optional<cgroups::Pressure::Line>& from) -> json::object {
    auto value = from.value_or(cgroups::Pressure::Line{});
    return {{"avg10", value.avg10}, {"avg60", value.avg60}, {"avg300", value.avg300}, {"total", value.total_usec}};
  };
  out["psi"] = {{"some", line(pressure->some)}, {"full", line(pressure->full)}};
}

json::object cpu_json(const cgroups::CpuStats& cpu) {
  json::object usage, throttling, out;
  put(usage, "total", cpu.usage_usec, kNanosecondsEach);
  usage["kernel"] = cpu.system_usec.value_or(0) * kNanosecondsEach;
  usage["user"] = cpu.user_usec.value_or(0) * kNanosecondsEach;
  put(throttling, "periods", cpu.periods);
  put(throttling, "throttledPeriods", cpu.throttled_periods);
  put(throttling, "throttledTime", cpu.throttled_usec, kNanosecondsEach);
  out["usage"] = std::move(usage);
  out["throttling"] = std::move(throttling);
  put_pressure(out, cpu.pressure);
  return out;
}

json::object memory_entry(std::uint64_t limit, Counter usage, Counter most) {
  json::object out = {{"limit", limit}};
  put(out, "usage", usage);
  put(out, "max", most);
  out["failcnt"] = 0;
  return out;
}

// Swap is with memory in it, as cgroup v1 counts it.
json::object memory_json(const cgroups::MemoryStats* memory) {
  json::object out, events;
  auto usage = memory_entry(0, {}, {}), swap = usage;
  if (memory != nullptr) {
    put(out, "cache", memory->value("file"));
    usage = memory_entry(memory->max.value_or(kNoLimit), memory->current, memory->peak);
    bool is_limited = memory->swap_max && memory->max;
    if (memory->swap_current) {
      swap = memory_entry(is_limited ? *memory->swap_max + *memory->max : kNoLimit,
                          *memory->swap_current + memory->current.value_or(0), {});
    }
    for (const char* name : {"low", "high", "max", "oom", "oom_kill"}) {
      auto found = memory->events.find(name);
      if (found != memory->events.end()) put(events, name, found->second);
    }
  }
  out["usage"] = std::move(usage);
  out["swap"] = std::move(swap);
  out["kernel"] = out["kernelTCP"] = memory_entry(0, {}, {});
  if (memory != nullptr) {
    json::object raw;
    for (const auto& [name, value] : memory->stat) raw[name] = value;
    out["raw"] = std::move(raw);
    put_pressure(out, memory->pressure);
  }
  out["event_count"] = std::move(events);
  return out;
}

json::object io_json(const cgroups::IoStats& io) {
  json::array bytes, operations;
  auto add = [](json::array& to, const cgroups::DeviceNumber& device, const char* what, std::uint64_t value) {
    json::object entry;
    put(entry, "major", device.major);
    put(entry, "minor", device.minor);
    entry["op"] = what;
    put(entry, "value", value);
    to.push_back(std::move(entry));
  };
  for (const auto& device : io.devices) {
    add(bytes, device.device, "Read", device.read_bytes);
    add(bytes, device.device, "Write", device.write_bytes);
    add(operations, device.device, "Read", device.reads);
    add(operations, device.device, "Write", device.writes);
  }
  json::object out;
  if (!bytes.empty()) out["ioServiceBytesRecursive"] = std::move(bytes);
  if (!operations.empty()) out["ioServicedRecursive"] = std::move(operations);
  put_pressure(out, io.pressure);
  return out;
}

// cgroup v1's, of which v2 has none.
json::object cpuset_json() {
  json::object out;
  for (const char* name : {"cpu_exclusive", "mem_hardwall", "mem_exclusive", "memory_migrate", "memory_spread_page",
                           "memory_spread_slab", "memory_pressure", "sched_load_balance", "sched_relax_domain_level"})
    out[name] = 0;
  return out;
}

json::object stats_json(const cgroups::Stats& stats) {
  json::object pids, hugetlb;
  if (stats.pids) {
    put(pids, "current", stats.pids->current);
    put(pids, "limit", stats.pids->max);
  }
  for (const auto& size : stats.hugetlb) {
    json::object entry;
    put(entry, "usage", size.current);
    entry["failcnt"] = size.max_events.value_or(0);
    hugetlb[size.page_size] = std::move(entry);
  }
  return {{"cpu", cpu_json(stats.cpu.value_or(cgroups::CpuStats{}))},
          {"cpuset", cpuset_json()},
          {"memory", memory_json(stats.memory ? &*stats.memory : nullptr)},
          {"pids", std::move(pids)},
          {"blkio", io_json(stats.io.value_or(cgroups::IoStats{}))},
          {"hugetlb", std::move(hugetlb)},
          {"intel_rdt", json::object()},
          {"network_interfaces", nullptr}};
}

Status print_stats(const cgroups::Cgroup& cgroup, const std::string& id) {
  auto stats = cgroups::read_stats(cgroup);
  if (!stats) return std::unexpected(std::move(stats.error()));
  json::object event = {{"type", "stats"}, {"id", id}, {"data", stats_json(*stats)}};
  return sys::write_all(FdRef(1), json::serialize(event) + "\n");
}

std::uint64_t oom_kills(const cgroups::Cgroup& cgroup) {
  auto kills = cgroups::read_oom_kills(cgroup);
  return kills ? kills->value_or(0) : 0;
}

// Arms the poll again.
void look(const OwnFd& file) {
  char text[512];
  if (file.is_open()) (void)sys::pread_start(file, text, sizeof(text));
}

// Until there is nobody in it any more.
Status follow(const cgroups::Cgroup& cgroup, const std::string& id, std::chrono::nanoseconds interval) {
  auto state = sys::openat(cgroup.dir(), "cgroup.events", O_RDONLY);
  if (!state) return std::unexpected(std::move(state.error()));
  // Where there is no memory controller, there is no limit to run into.
  auto memory = sys::openat(cgroup.dir(), "memory.events", O_RDONLY).value_or(OwnFd());
  std::uint64_t kills = oom_kills(cgroup);
  for (auto next = Clock::now() + interval;;) {
    look(*state);
    look(memory);
    auto events = cgroup.events();
    for (std::uint64_t now = oom_kills(cgroup); kills < now; ++kills) {
      json::object event = {{"type", "oom"}, {"id", id}};
      if (auto s = sys::write_all(FdRef(1), json::serialize(event) + "\n"); !s) return s;
    }
    if (!events || !events->populated) return {};
    if (Clock::now() >= next) {
      auto s = print_stats(cgroup, id);
      if (!s && !s.error().is_not_found() && !s.error().is_gone()) return s;
      next = Clock::now() + interval;
    }
    auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now()).count();
    constexpr std::int64_t kLongest = 60'000;
    pollfd entries[] = {{state->get(), POLLPRI, 0}, {memory.is_open() ? memory.get() : -1, POLLPRI, 0}};
    (void)::poll(entries, 2, static_cast<int>(std::clamp<std::int64_t>(left, 0, kLongest)));
  }
}

}  // namespace

Status print_events(const std::string& root, const std::string& id, const std::string& interval, bool once) {
  auto every = parse_interval(interval);
  if (!every)
    return invalid_argument(cat("--interval ", quoted(interval), " is wrong: a time such as 5s was expected"));
  auto found = find_running(root, id);
  if (!found) return std::unexpected(std::move(found.error()));
  auto cgroup = open_cgroup(found->live.record.cgroup);
  if (!cgroup) return std::unexpected(std::move(cgroup.error()));
  return once ? print_stats(*cgroup, id) : follow(*cgroup, id, *every);
}

}  // namespace gantry::cli
