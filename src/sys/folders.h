// SPDX-License-Identifier: Apache-2.0
// Folders as names: made with those above them, synced. (base/layout.cc, which is below this folder, makes its own.)
#pragma once

#include <sys/types.h>

#include <string>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::sys {

// mkdir -p for an absolute path of our own making or of the host's administrator: through links, too. What is there
// already stays as it is; a path that ends at something else than a folder is kFailedPrecondition. Blocking.
Status make_folders(const std::string& path, mode_t mode);

// Names that were made in the folder or taken out of it are so after a loss of power, too. `dir` may be O_PATH.
Status sync_folder(FdRef dir);

}  // namespace gantry::sys
