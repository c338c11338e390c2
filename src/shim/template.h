// SPDX-License-Identifier: Apache-2.0
// The first shim, which clones the others: single-threaded and small, in a mount namespace that is already empty, so
// that a pod's shim is one clone3 straight into its cgroup and its namespaces, and shares its memory until it writes to
// it. It lives as long as the gantryd that spawned it; the shims that it made do not care.
#pragma once

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::shim {

// Serves until `socket` closes. `title` is the place in the program's arguments where a shim writes its pod's id for
// ps, of `title_size` bytes.
Status serve_template(OwnFd socket, char* title, std::size_t title_size);

}  // namespace gantry::shim
