// SPDX-License-Identifier: Apache-2.0
// CronTimes: when a schedule of cron comes up in a time zone: at each minute whose fields, as the clocks there show
// them, fit. So a time that clocks go over is left out, and one that they show twice comes twice, as upstream has it.
// Pure; any thread. Times are seconds since 1970.
#pragma once

#include <cstdint>
#include <optional>

#include "api/kinds/batch/cron_schedule.h"
#include "control/workloads/time_zone.h"

namespace gantry::control::workloads {

class CronTimes {
 public:
  CronTimes(api::CronSchedule schedule, TimeZone zone) : schedule_(schedule), zone_(std::move(zone)) {}

  // The first time after that one; none if there is none in five years: on February 30.
  std::optional<std::int64_t> next(std::int64_t after) const;

  // What has come up between two moments.
  struct Missed {
    std::optional<std::int64_t> last;
    std::int64_t count = 0;  // by the distance of the first two
  };
  // After `since` and until `now`. kOutOfRange: the schedule never comes up.
  Result<Missed> missed(std::int64_t since, std::int64_t now) const;

 private:
  bool fits_day(const WallTime& wall) const;

  api::CronSchedule schedule_;
  TimeZone zone_;
};

}  // namespace gantry::control::workloads
