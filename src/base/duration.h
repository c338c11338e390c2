// SPDX-License-Identifier: Apache-2.0
// Durations as Go writes and reads them. Pure.
#pragma once

#include <chrono>
#include <string_view>

#include "base/result.h"

namespace gantry {

// "1m30s", "250ms", "0": in h, m, s and ms, not negative.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);

}  // namespace gantry
