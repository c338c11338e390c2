// SPDX-License-Identifier: Apache-2.0
// Durations as Go writes and reads them. Pure.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry {

// "1m30s", "250ms", "0": in h, m, s, ms, us and ns, not negative; to the millisecond.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);
// "5m0s", "1h0m0s", "1.5s", "20ms", "0s": in whole milliseconds. Negative ones are "0s".
std::string format_duration(std::chrono::nanoseconds duration);

}  // namespace gantry
