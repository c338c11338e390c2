// SPDX-License-Identifier: Apache-2.0
// Small things that the agent's files do with folders. Blocking; any thread.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::agent {

// mkdir -p for a path of our own making or of the host's administrator, through links too.
Status make_folders(const std::string& path, mode_t mode);

// Something is mounted on `name` in `folder`; a name that is a link is not followed. False when it is not there.
Result<bool> is_mount(FdRef folder, const std::string& name);

}  // namespace gantry::agent
