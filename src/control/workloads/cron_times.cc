// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/cron_times.h"

#include <algorithm>

namespace gantry::control::workloads {

namespace {

constexpr std::int64_t kMostYears = 5;

bool has(std::uint64_t bits, int number) { return (bits >> number & 1) != 0; }

}  // namespace

bool CronTimes::fits_day(const WallTime& wall) const {
  const bool day = has(schedule_.days, wall.day);
  const bool weekday = has(schedule_.weekdays, wall.weekday);
  return schedule_.any_day || schedule_.any_weekday ? day && weekday : day || weekday;
}

std::optional<std::int64_t> CronTimes::next(std::int64_t after) const {
  if (schedule_.every > 0) return after + schedule_.every;
  std::int64_t time = after + 1;
  const std::int64_t last_year = zone_.at(time).year + kMostYears;
  for (;;) {
    const WallTime wall = zone_.at(time);
    if (wall.year > last_year) return std::nullopt;
    std::int64_t later = time;
    if (!has(schedule_.months, wall.month)) {
      later = zone_.start_of(wall.year, wall.month + 1, 1);
    } else if (!fits_day(wall)) {
      later = zone_.start_of(wall.year, wall.month, wall.day + 1);
    } else if (!has(schedule_.hours, wall.hour)) {
      later = time + 3600 - wall.minute * 60 - wall.second;
    } else if (wall.second != 0 || !has(schedule_.minutes, wall.minute)) {
      later = time + 60 - wall.second;
    } else {
      return time;
    }
    time = std::max(later, time + 1);
  }
}

Result<CronTimes::Missed> CronTimes::missed(std::int64_t since, std::int64_t now) const {
  const std::optional<std::int64_t> first = next(since);
  const std::optional<std::int64_t> second = first ? next(*first) : std::nullopt;
  if (!first || !second) return fail(Code::kOutOfRange, "time difference between two schedules is less than 1 second");
  if (now < *first) return Missed{};
  if (now < *second) return Missed{.last = first, .count = 1};
  Missed missed{.last = {}, .count = (now - *first) / (*second - *first) + 1};
  if (schedule_.every > 0) {
    missed.last = now - (now - since) % schedule_.every;
    return missed;
  }
  // The last moment from which the next time is no later than now.
  std::int64_t before = *first;
  for (std::int64_t after = now; after - before > 1;) {
    const std::int64_t middle = before + (after - before) / 2;
    const std::optional<std::int64_t> time = next(middle);
    (time && *time <= now ? before : after) = middle;
  }
  missed.last = next(before);
  return missed;
}

}  // namespace gantry::control::workloads
