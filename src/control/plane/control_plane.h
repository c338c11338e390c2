// SPDX-License-Identifier: Apache-2.0
// A whole control plane in this process: all wiring, in the order in which things stand on each other. Each part is a
// file beside this one: ground.h (identity, store, caches), api.h (the API server), serving.h (its connections), and
// the controllers of controllers/manager.h. What it is told is options.h.
//
// Threads: the calling one follows the store; one for each core serves connections; one has the controllers.
#pragma once

#include "base/owned_fd.h"
#include "control/plane/options.h"

namespace gantry::control {

// Serves until `stop` is readable.
Status run_control_plane(const PlaneOptions& options, FdRef stop);

}  // namespace gantry::control
