// SPDX-License-Identifier: Apache-2.0
// Who makes the cgroups of pods: as kubelet does, the agent asks the runtime, because names of cgroups are of the form
// that its driver takes. Loop thread.
#pragma once

#include "base/result.h"
#include "base/task.h"
#include "cgroups/driver.h"
#include "cri/runtime_service.h"

namespace gantry::agent {

// The runtime's word, or `otherwise`, with a line in the log, of one that can't say (containerd before 2.0). An error:
// it does not answer. `runtime` outlives the call.
Task<Result<cgroups::DriverKind>> cgroup_driver_of(cri::RuntimeService& runtime, cgroups::DriverKind otherwise);

}  // namespace gantry::agent
