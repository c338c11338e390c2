// SPDX-License-Identifier: Apache-2.0
#include "api/duration_text.h"

#include "base/text.h"

namespace gantry::api {

namespace {

constexpr int64_t kMinute = 60;
constexpr int64_t kHour = 60 * kMinute;
constexpr int64_t kDay = 24 * kHour;
constexpr int64_t kYear = 365 * kDay;

// The larger unit, and the smaller one unless there is none of it.
std::string two_units(int64_t seconds, int64_t large, char large_name, int64_t small, char small_name) {
  const int64_t rest = seconds % large / small;
  if (rest == 0) return cat(seconds / large, large_name);
  return cat(seconds / large, large_name, rest, small_name);
}

}  // namespace

std::string duration_text(int64_t seconds) {
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 2 * kMinute) return cat(seconds, 's');
  if (seconds < 10 * kMinute) return two_units(seconds, kMinute, 'm', 1, 's');
  if (seconds < 3 * kHour) return cat(seconds / kMinute, 'm');
  if (seconds < 8 * kHour) return two_units(seconds, kHour, 'h', kMinute, 'm');
  if (seconds < 2 * kDay) return cat(seconds / kHour, 'h');
  if (seconds < 8 * kDay) return two_units(seconds, kDay, 'd', kHour, 'h');
  if (seconds < 2 * kYear) return cat(seconds / kDay, 'd');
  if (seconds < 8 * kYear) return two_units(seconds, kYear, 'y', kDay, 'd');
  return cat(seconds / kYear, 'y');
}

}  // namespace gantry::api
