// SPDX-License-Identifier: Apache-2.0
// The cpuset controller: which CPUs and memory nodes.
#include "base/text.h"
#include "cgroups/controllers.h"

namespace gantry::cgroups {
namespace {

Status validate_list(const char* what, const std::string& list) {
  constexpr std::size_t kMaxList = 4096;
  if (list.size() <= kMaxList && list.find_first_not_of("0123456789,-") == list.npos) return {};
  return invalid_argument(cat("cpuset ", what, " ", quoted(list), ": expected numbers and ranges, as in \"0-2,7\""));
}

std::string line(std::optional<std::string> text) {
  if (!text) return {};
  while (text->ends_with('\n')) text->pop_back();
  return std::move(*text);
}

}  // namespace

Status validate(const CpusetLimits& limits) {
  if (auto checked = validate_list("cpus", limits.cpus); !checked) return checked;
  return validate_list("mems", limits.mems);
}

Status apply(LimitWriter& writer, const CpusetLimits& limits) {
  if (!limits.cpus.empty()) {
    if (auto done = writer.write("cpuset.cpus", limits.cpus); !done) return done;
  }
  return limits.mems.empty() ? Status() : writer.write("cpuset.mems", limits.mems);
}

void read_cpuset(StatsReader& reader, Stats& stats) {
  auto effective = reader.text("cpuset.cpus.effective");
  if (!effective) return;
  stats.cpuset = CpusetStats{line(reader.text("cpuset.cpus")), line(reader.text("cpuset.mems")),
                             line(std::move(effective)), line(reader.text("cpuset.mems.effective"))};
}

}  // namespace gantry::cgroups
