// SPDX-License-Identifier: Apache-2.0
// What is mounted at a place of ours, and its end. Blocking, but never on what is mounted; any thread.
#pragma once

#include <string>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::volumes {

// The names in a folder; in one that is not there none.
Result<std::vector<std::string>> names_in(const std::string& folder);

// Something is mounted on `name` in `folder`; a name that is a link is not followed. False when it is not there.
Result<bool> is_mount_point(FdRef folder, const std::string& name);

// Unmounts what is on the name, all of it when there are several, one over the other. `flags` as umount2's.
Status unmount_at(const std::string& folder, const std::string& name, int flags);
// And on each name in the folder, which may be missing.
Status unmount_in(const std::string& folder, int flags);

}  // namespace gantry::volumes
