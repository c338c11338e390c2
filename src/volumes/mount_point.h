// SPDX-License-Identifier: Apache-2.0
// Whether something is mounted at a place. Blocking, but never on what is mounted; any thread.
#pragma once

#include <string>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::volumes {

// Something is mounted on `name` in `folder`; a name that is a link is not followed. False when it is not there.
Result<bool> is_mount_point(FdRef folder, const std::string& name);

}  // namespace gantry::volumes
