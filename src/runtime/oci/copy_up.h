// SPDX-License-Identifier: Apache-2.0
// The mount option tmpcopyup: a tmpfs that begins with what the image has at its place. Blocking.
#pragma once

#include <string>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::runtime::oci {

// Copies what lies in the folder `path` beneath `root`, resolved within it, into the folder `to`: folders, files, links
// and devices, with owners and modes. Nothing when there is no such folder. With `takes_mode`, `to` gets the folder's
// own mode and owner, too. A tree of more than 64 levels is refused; its size is bounded by the file system of `to`.
Status copy_up(FdRef root, const std::string& path, FdRef to, bool takes_mode);

}  // namespace gantry::runtime::oci
