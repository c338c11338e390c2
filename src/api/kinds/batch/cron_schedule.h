// SPDX-License-Identifier: Apache-2.0
// When a CronJob runs, as text: the five fields of cron, or a name such as @daily. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::api {

// Bit n of a field: n is one of its numbers. Days of the week begin with Sunday, 0.
struct CronSchedule {
  std::uint64_t minutes = 0;
  std::uint64_t hours = 0;
  std::uint64_t days = 0;  // of the month
  std::uint64_t months = 0;
  std::uint64_t weekdays = 0;
  // The field was "*". If neither was, a day of either kind is enough.
  bool any_day = false;
  bool any_weekday = false;
  std::int64_t every = 0;  // seconds, of "@every 90s"; 0: the fields count
};

// kInvalidArgument says what is wrong with it.
Result<CronSchedule> parse_cron_schedule(std::string_view text);

// What is wrong with it, or "".
std::string check_cron_schedule(std::string_view text);

// What is wrong with the name of a time zone by its form, or "": "Europe/Berlin".
std::string check_time_zone(std::string_view name);

}  // namespace gantry::api
