// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

namespace gantry::cri {

// Before what failed is tried again; then twice as long each time, up to a limit of each place.
inline constexpr std::chrono::seconds kFirstRetry{1};

}  // namespace gantry::cri
