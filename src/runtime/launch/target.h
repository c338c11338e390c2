// SPDX-License-Identifier: Apache-2.0
// Places for mounts in a root that may be an attacker's.
#pragma once

#include "base/owned_fd.h"
#include "base/result.h"
#include "sys/file.h"

namespace gantry::runtime {

// Opens the place that `path` names beneath `root`, resolved within it; makes what is missing: folders, and at its end
// a folder or an empty file. `also`: with kNoSymlinks a symbolic link anywhere in it is an error, with kNoXdev a mount.
Result<OwnFd> ensure_target(FdRef root, const char* path, bool is_file, sys::Resolve also);

}  // namespace gantry::runtime
