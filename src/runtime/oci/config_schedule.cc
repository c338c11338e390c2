// SPDX-License-Identifier: Apache-2.0
#include <linux/ioprio.h>
#include <sched.h>

#include <array>
#include <charconv>
#include <utility>

#include "runtime/oci/config_parts.h"

namespace gantry::runtime::oci {
namespace {

constexpr std::uint32_t kMaxCpu = 8191;  // the most that a kernel is built for

void read_scheduler(const Fields& process, SchedulePlan& out) {
  auto fields = process.object("scheduler");
  if (!fields) return;
  constexpr auto kPolicies = std::to_array<std::pair<std::string_view, std::uint32_t>>({{"SCHED_OTHER", 0},
                                                                                        {"SCHED_FIFO", 1},
                                                                                        {"SCHED_RR", 2},
                                                                                        {"SCHED_BATCH", 3},
                                                                                        {"SCHED_ISO", 4},
                                                                                        {"SCHED_IDLE", 5},
                                                                                        {"SCHED_DEADLINE", 6}});
  constexpr auto kFlags =
      std::to_array<std::pair<std::string_view, std::uint64_t>>({{"SCHED_FLAG_RESET_ON_FORK", 0x01},
                                                                 {"SCHED_FLAG_RECLAIM", 0x02},
                                                                 {"SCHED_FLAG_DL_OVERRUN", 0x04},
                                                                 {"SCHED_FLAG_KEEP_POLICY", 0x08},
                                                                 {"SCHED_FLAG_KEEP_PARAMS", 0x10},
                                                                 {"SCHED_FLAG_UTIL_CLAMP_MIN", 0x20},
                                                                 {"SCHED_FLAG_UTIL_CLAMP_MAX", 0x40}});
  out.set_policy = true;
  fields->choice("policy", kPolicies, out.policy);
  fields->number("nice", out.nice, -20, 19);
  fields->number("priority", out.priority, 0U, 99U);
  fields->number("runtime", out.runtime);
  fields->number("deadline", out.deadline);
  fields->number("period", out.period);
  std::vector<std::uint64_t> flags;
  fields->choices("flags", kFlags, flags);
  for (std::uint64_t flag : flags) out.flags |= flag;
}

void read_io_priority(const Fields& process, SchedulePlan& out) {
  auto fields = process.object("ioPriority");
  if (!fields) return;
  constexpr auto kClasses =
      std::to_array<std::pair<std::string_view, std::uint32_t>>({{"IOPRIO_CLASS_RT", IOPRIO_CLASS_RT},
                                                                 {"IOPRIO_CLASS_BE", IOPRIO_CLASS_BE},
                                                                 {"IOPRIO_CLASS_IDLE", IOPRIO_CLASS_IDLE}});
  std::uint32_t kind = 0, priority = 0;
  fields->choice("class", kClasses, kind);
  fields->number("priority", priority, 0U, 7U);
  out.set_io_priority = true;
  out.io_priority = IOPRIO_PRIO_VALUE(kind, priority);
}

// "0-3,7" as a mask.
bool parse_cpus(std::string_view list, std::string& mask) {
  auto take = [&](std::uint32_t& out) {
    auto [end, wrong] = std::from_chars(list.data(), list.data() + list.size(), out);
    if (wrong != std::errc() || out > kMaxCpu) return false;
    list.remove_prefix(static_cast<std::size_t>(end - list.data()));
    return true;
  };
  for (;;) {
    std::uint32_t first = 0, last = 0;
    if (!take(first)) return false;
    last = first;
    if (list.starts_with('-')) {
      list.remove_prefix(1);
      if (!take(last) || last < first) return false;
    }
    if (mask.size() <= last / 8) mask.resize((last / 64 + 1) * 8);
    for (std::uint32_t cpu = first; cpu <= last; ++cpu) mask[cpu / 8] = static_cast<char>(mask[cpu / 8] | 1 << cpu % 8);
    if (list.empty()) return true;
    if (!list.starts_with(',')) return false;
    list.remove_prefix(1);
  }
}

void read_cpus(const Fields& fields, const char* name, std::string& mask) {
  std::string list;
  if (!fields.text(name, list) || list.empty()) return;
  if (!parse_cpus(list, mask)) fields.refuse(name, cat(quoted(list), " is wrong: CPUs such as 0-3,7 were expected"));
}

}  // namespace

void read_schedule(const Fields& process, Process& out) {
  read_scheduler(process, out.schedule);
  read_io_priority(process, out.schedule);
  auto affinity = process.object("execCPUAffinity");
  if (!affinity) return;
  read_cpus(*affinity, "initial", out.initial_cpus);
  read_cpus(*affinity, "final", out.final_cpus);
}

}  // namespace gantry::runtime::oci
