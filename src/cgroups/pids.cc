// SPDX-License-Identifier: Apache-2.0
// The pids controller.
#include "cgroups/controllers.h"
#include "cgroups/text.h"

namespace gantry::cgroups {

Status validate_pids(std::optional<std::int64_t> limit) {
  if (limit.value_or(0) >= -1) return {};
  return invalid_argument("pids limit " + std::to_string(*limit) + ": expected a number, or -1 for no limit");
}

Status apply_pids(LimitWriter& writer, std::optional<std::int64_t> limit) {
  if (limit.value_or(0) == 0) return {};
  return writer.write("pids.max", limit_text(*limit));
}

void read_pids(StatsReader& reader, Stats& stats) {
  auto current = reader.number("pids.current");
  if (!current) return;
  PidsStats pids;
  pids.current = current;
  pids.max = reader.number("pids.max");
  pids.peak = reader.number("pids.peak");
  if (auto events = reader.text("pids.events")) {
    auto values = parse_keyed(*events);
    if (auto found = values.find("max"); found != values.end()) pids.max_events = found->second;
  }
  stats.pids = pids;
}

}  // namespace gantry::cgroups
