// SPDX-License-Identifier: Apache-2.0
// A container that waits at its gate, from there on.
#pragma once

#include "base/result.h"
#include "cli/oci_container.h"
#include "cli/oci_hooks.h"
#include "cli/oci_log.h"
#include "cli/oci_times.h"
#include "runtime/oci/config.h"

namespace gantry::cli {

// What start does with a container whose lock is held: opens the gate, and runs poststart hooks.
Status start_locked(ContainerFolder& folder, const LiveContainer& live, const runtime::oci::Config& config,
                    const HookRunner& run_hooks, Times& times, Log& log);

}  // namespace gantry::cli
