// SPDX-License-Identifier: Apache-2.0
// Files that only their owner reads, such as keys. Blocking.
#pragma once

#include <string>
#include <string_view>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::sys {

// Mode 0600, in place of what was there, on the disk when this returns. Who reads or crashes meanwhile has the old or
// the new one, whole. One writer of a folder at a time.
Status write_private_file(FdRef dir, const std::string& name, std::string_view bytes);

}  // namespace gantry::sys
