// SPDX-License-Identifier: Apache-2.0
// When a CronJob runs, as text: the five fields of cron, or a name such as @daily. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

namespace gantry::api {

// What is wrong with it, or "".
std::string check_cron_schedule(std::string_view text);

// What is wrong with the name of a time zone by its form, or "": "Europe/Berlin".
std::string check_time_zone(std::string_view name);

}  // namespace gantry::api
