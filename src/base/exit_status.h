// SPDX-License-Identifier: Apache-2.0
// How a child process ended (waitid(2) by pidfd, Linux 5.4).
#pragma once

#include <cstdint>
#include <optional>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry {

// The code it gave, or 128 + the signal that ended it, as shells and CRI have it.
struct ExitStatus {
  std::int32_t code = 0;
  // The signal that ended it; 0 when it ended by itself.
  std::int32_t signal = 0;
};

// Reaps a child. Without `wait`, nothing when it still runs.
Result<std::optional<ExitStatus>> reap(FdRef pidfd, bool wait);

}  // namespace gantry
