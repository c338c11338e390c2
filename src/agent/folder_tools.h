// SPDX-License-Identifier: Apache-2.0
// What the agent's files ask about folders. Blocking; any thread.
#pragma once

#include <string>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::agent {

// Something is mounted on `name` in `folder`; a name that is a link is not followed. False when it is not there.
Result<bool> is_mount(FdRef folder, const std::string& name);

}  // namespace gantry::agent
