// SPDX-License-Identifier: Apache-2.0
// Who has a SQLite store: the holder of a lock on PATH.lock, which ends with its process.
#pragma once

#include <string>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::control {

// kUnavailable when another has it.
Result<OwnFd> lock_store(const std::string& path);

}  // namespace gantry::control
