// SPDX-License-Identifier: Apache-2.0
// Durations as people read them in tables: two or three digits that count, as kubectl shows ages.
#pragma once

#include <cstdint>
#include <string>

namespace gantry::api {

// "5s", "3m20s", "47m", "7h30m", "2d4h", "99d", "3y40d". A clock that is a second off gives "0s"; further in the future
// is "<invalid>".
std::string duration_text(int64_t seconds);

}  // namespace gantry::api
