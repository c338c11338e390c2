// SPDX-License-Identifier: Apache-2.0
// Folders with those above them. (base/layout.cc, which is below this folder, makes its own.)
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"

namespace gantry::sys {

// mkdir -p for an absolute path of our own making or of the host's administrator: through links, too. What is there
// already stays as it is; a path that ends at something else than a folder is kFailedPrecondition. Blocking.
Status make_folders(const std::string& path, mode_t mode);

}  // namespace gantry::sys
