// SPDX-License-Identifier: Apache-2.0
#include "agent/shutdown/shutdown_periods.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace gantry::agent {
namespace {

using std::chrono::seconds;

constexpr std::int32_t kDefaultPriority = 0;
constexpr std::int32_t kSystemCritical = 2'000'000'000;

Duration whole(Duration period) { return std::chrono::floor<seconds>(period); }

}  // namespace

Status check(const ShutdownConfig& config) {
  const bool is_both = config.all > Duration::zero() || config.critical > Duration::zero();
  if (is_both && !config.by_priority.empty()) {
    return invalid_argument("shutdownGracePeriodByPodPriority: it is given together with shutdownGracePeriod");
  }
  const auto is_short = [](Duration period) { return period > Duration::zero() && period < seconds(1); };
  if (is_short(config.all)) return invalid_argument("shutdownGracePeriod: 0, or 1s or more were expected");
  if (is_short(config.critical)) {
    return invalid_argument("shutdownGracePeriodCriticalPods: 0, or 1s or more were expected");
  }
  if (config.critical > config.all) {
    return invalid_argument("shutdownGracePeriodCriticalPods: at most shutdownGracePeriod was expected");
  }
  return {};
}

std::vector<ShutdownPeriod> shutdown_periods(const ShutdownConfig& config) {
  std::vector<ShutdownPeriod> periods = config.by_priority;
  if (periods.empty() && config.all > Duration::zero()) {
    periods = {{kDefaultPriority, whole(config.all - config.critical)}, {kSystemCritical, whole(config.critical)}};
  }
  std::ranges::sort(periods, {}, [](const auto& one) { return std::pair(one.priority, one.period); });
  return periods;
}

std::size_t period_of(const std::vector<ShutdownPeriod>& periods, std::int32_t priority) {
  const auto above = std::ranges::upper_bound(periods, priority, {}, &ShutdownPeriod::priority);
  return above == periods.begin() ? 0 : static_cast<std::size_t>(above - periods.begin()) - 1;
}

Duration sum_of(const std::vector<ShutdownPeriod>& periods) {
  Duration sum{};
  for (const auto& period : periods) sum += period.period;
  return sum;
}

}  // namespace gantry::agent
