// SPDX-License-Identifier: Apache-2.0
// TimeZone: what clocks on the wall of a place show, by the machine's time zone database (/usr/share/zoneinfo). Cheap
// to copy; any thread. Times are seconds since 1970.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"

namespace gantry::control::workloads {

struct WallTime {
  std::int64_t year = 1970;
  int month = 1;  // 1 to 12
  int day = 1;
  int hour = 0;
  int minute = 0;
  int second = 0;
  int weekday = 4;  // Sunday is 0
};

class TimeZone {
 public:
  // UTC
  TimeZone();
  // "Europe/Berlin"; kNotFound when the database has no such one. Reads a file once.
  static Result<TimeZone> load(const std::string& name);

  WallTime at(std::int64_t time) const;
  // The first moment of a day. Months above 12 and days beyond the month's end go on from there.
  std::int64_t start_of(std::int64_t year, int month, int day) const;
  // "2026-11-23T10:00:00+01:00", with Z where it is UTC.
  std::string format(std::int64_t time) const;

 private:
  struct Zone;
  std::shared_ptr<const Zone> zone_;
};

}  // namespace gantry::control::workloads
