// SPDX-License-Identifier: Apache-2.0
// The cpu controller. cpu.stat's times are there without it.
#include <cmath>

#include "cgroups/controllers.h"
#include "cgroups/text.h"

namespace gantry::cgroups {

std::uint64_t cpu_weight_from_shares(std::uint64_t shares) {
  if (shares == 0) return 0;
  if (shares <= 2) return 1;
  if (shares >= 262144) return 10000;
  double l = std::log2(static_cast<double>(shares));
  double exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
  return static_cast<std::uint64_t>(std::ceil(std::pow(10.0, exponent)));
}

Status validate(const CpuLimits& limits) {
  if (limits.weight && (*limits.weight < 1 || *limits.weight > 10000)) {
    return invalid_argument("cpu weight " + std::to_string(*limits.weight) + ": expected 1 to 10000");
  }
  if (limits.quota && *limits.quota != 0 && *limits.quota != -1 && *limits.quota < 1000) {
    return invalid_argument("cpu quota " + std::to_string(*limits.quota) +
                            ": expected microseconds, 1000 or more, or -1 for no limit");
  }
  if (limits.period.value_or(0) != 0 && (*limits.period < 1000 || *limits.period > 1'000'000)) {
    return invalid_argument("cpu period " + std::to_string(*limits.period) + ": expected 1000 to 1000000 microseconds");
  }
  return {};
}

static Status apply_weight(LimitWriter& writer, const CpuLimits& limits) {
  bool idle = limits.idle.value_or(false);
  // An idle cgroup has no weight that could be set; so the order matters, and the weight of one that becomes idle is
  // moot.
  if (limits.idle) {
    if (auto done = writer.write("cpu.idle", idle ? "1" : "0"); !done) return done;
  }
  std::uint64_t weight = limits.weight.value_or(cpu_weight_from_shares(limits.shares.value_or(0)));
  if (idle || weight == 0) return {};
  return writer.write("cpu.weight", std::to_string(weight));
}

static Status apply_quota(LimitWriter& writer, const CpuLimits& limits) {
  std::int64_t quota = limits.quota.value_or(0);
  std::uint64_t period = limits.period.value_or(0);
  if (quota == 0 && period == 0) return {};
  std::string value;
  if (quota != 0) {
    value = limit_text(quota);
  } else {
    // A new period alone keeps the quota that is there.
    auto now = writer.read("cpu.max");
    if (!now) return std::unexpected(std::move(now.error()));
    std::string_view text = *now ? std::string_view(**now) : std::string_view();
    value = next_word(text);
    if (value.empty()) value = "max";
  }
  if (period != 0) value += " " + std::to_string(period);
  return writer.write("cpu.max", value);
}

Status apply(LimitWriter& writer, const CpuLimits& limits) {
  if (auto done = apply_weight(writer, limits); !done) return done;
  // The kernel wants burst <= quota at every moment, so an old burst must not stand in the way of a new quota.
  if (limits.burst && limits.quota.value_or(0) != 0) {
    if (auto done = writer.write_if_there("cpu.max.burst", "0"); !done) return std::unexpected(std::move(done.error()));
  }
  if (auto done = apply_quota(writer, limits); !done) return done;
  if (!limits.burst) return {};
  return writer.write("cpu.max.burst", std::to_string(*limits.burst));
}

void read_cpu(StatsReader& reader, Stats& stats) {
  auto text = reader.text("cpu.stat");
  if (!text) return;
  auto values = parse_keyed(*text);
  auto value = [&](const char* name) {
    auto found = values.find(name);
    return found == values.end() ? Counter() : Counter(found->second);
  };
  CpuStats cpu;
  cpu.usage_usec = value("usage_usec");
  cpu.user_usec = value("user_usec");
  cpu.system_usec = value("system_usec");
  cpu.periods = value("nr_periods");
  cpu.throttled_periods = value("nr_throttled");
  cpu.throttled_usec = value("throttled_usec");
  cpu.bursts = value("nr_bursts");
  cpu.burst_usec = value("burst_usec");
  cpu.weight = reader.number("cpu.weight");
  if (auto max = reader.text("cpu.max")) {
    std::string_view rest = *max;
    cpu.quota_usec = parse_number(next_word(rest));
    cpu.period_usec = parse_number(rest);
  }
  cpu.pressure = reader.pressure("cpu.pressure");
  stats.cpu = cpu;
}

}  // namespace gantry::cgroups
