// SPDX-License-Identifier: Apache-2.0
// A container that waits at its gate, from there on.
#pragma once

#include "base/result.h"
#include "cli/oci_container.h"
#include "cli/oci_hooks.h"
#include "cli/oci_log.h"
#include "cli/oci_times.h"

namespace gantry::cli {

// What start does with a container whose lock is held: opens the gate, and runs poststart hooks. `has_process`: its
// config.json names a program.
Status start_locked(ContainerFolder& folder, const LiveContainer& live, bool has_process, const HookRunner& run_hooks,
                    Times& times, Log& log);

}  // namespace gantry::cli
