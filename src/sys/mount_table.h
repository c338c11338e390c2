// SPDX-License-Identifier: Apache-2.0
// What is mounted where, as /proc/self/mountinfo says it.
#pragma once

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::sys {

// Whether anything is mounted on or beneath the folder in this mount namespace.
Result<bool> has_mounts(FdRef folder);

}  // namespace gantry::sys
