// SPDX-License-Identifier: Apache-2.0
// The memory controller. Swap has a limit of its own in cgroup v2, where CRI and OCI give the sum of both.
#include "cgroups/controllers.h"
#include "cgroups/text.h"

namespace gantry::cgroups {
namespace {

std::string show(const std::optional<std::int64_t>& value) { return value ? std::to_string(*value) : "not set"; }

// memory.swap.max for the limits; nothing when it stays as it is.
std::optional<std::int64_t> swap_max(const MemoryLimits& limits) {
  std::int64_t total = limits.swap_total.value_or(0);
  if (total > 0) return total - limits.limit.value_or(0);
  // Taking the limit of memory away takes swap's away, too: as cgroup v1 and the other runtimes have it.
  if (total == -1 || limits.limit == -1) return -1;
  return std::nullopt;
}

}  // namespace

Status validate(const MemoryLimits& limits) {
  const std::pair<const char*, const std::optional<std::int64_t>&> all[] = {{"limit", limits.limit},
                                                                            {"high", limits.high},
                                                                            {"low", limits.low},
                                                                            {"min", limits.min},
                                                                            {"swap", limits.swap_total}};
  for (const auto& [name, value] : all) {
    if (value.value_or(0) >= -1) continue;
    return invalid_argument(std::string("memory ") + name + " " + std::to_string(*value) +
                            ": expected bytes, or -1 for no limit");
  }
  if (limits.swap_total.value_or(0) > 0 && (limits.limit.value_or(0) <= 0 || *limits.swap_total < *limits.limit)) {
    return invalid_argument("memory and swap together " + show(limits.swap_total) + ", memory limit " +
                            show(limits.limit) + ": the sum needs a memory limit and can't be below it");
  }
  return {};
}

Status apply(LimitWriter& writer, const MemoryLimits& limits) {
  if (auto swap = swap_max(limits)) {
    if (auto done = writer.write("memory.swap.max", limit_text(*swap)); !done) return done;
  }
  const std::pair<const char*, const std::optional<std::int64_t>&> files[] = {
      {"memory.min", limits.min}, {"memory.low", limits.low}, {"memory.high", limits.high}};
  for (const auto& [file, value] : files) {
    if (!value) continue;
    if (auto done = writer.write(file, limit_text(*value)); !done) return done;
  }
  if (limits.oom_group) {
    if (auto done = writer.write("memory.oom.group", *limits.oom_group ? "1" : "0"); !done) return done;
  }
  if (limits.limit.value_or(0) == 0) return {};
  return writer.write("memory.max", limit_text(*limits.limit));
}

Counter MemoryStats::value(std::string_view name) const {
  auto found = stat.find(name);
  return found == stat.end() ? Counter() : Counter(found->second);
}

Counter MemoryStats::working_set() const {
  Counter inactive = value("inactive_file");
  if (!current || !inactive) return std::nullopt;
  return *current > *inactive ? *current - *inactive : 0;
}

void read_memory(StatsReader& reader, Stats& stats) {
  auto current = reader.number("memory.current");
  auto text = reader.text("memory.stat");
  if (!current && !text) return;
  MemoryStats memory;
  memory.current = current;
  if (text) memory.stat = parse_keyed(*text);
  memory.peak = reader.number("memory.peak");
  memory.max = reader.number("memory.max");
  memory.high = reader.number("memory.high");
  memory.low = reader.number("memory.low");
  memory.min = reader.number("memory.min");
  memory.swap_current = reader.number("memory.swap.current");
  memory.swap_peak = reader.number("memory.swap.peak");
  memory.swap_max = reader.number("memory.swap.max");
  if (auto events = reader.text("memory.events")) memory.events = parse_keyed(*events);
  memory.pressure = reader.pressure("memory.pressure");
  stats.memory = std::move(memory);
}

}  // namespace gantry::cgroups
