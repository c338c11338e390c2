// SPDX-License-Identifier: Apache-2.0
// Opens what a planned container needs of the host, in the mount namespace of the caller. Blocking.
#pragma once

#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "runtime/oci/oci_plan.h"

namespace gantry::runtime::oci {

// The descriptors, in the order of `container.sources`; each failure names the field. Also notes in the plan which
// mounts are of files. Relative paths are beneath `bundle`.
Result<std::vector<OwnFd>> open_sources(FdRef bundle, PlannedContainer& container);

// The mount namespace that a container goes to which has none of its own: this process's, or one by its file. Not open
// for one that has its own.
Result<OwnFd> other_mount_namespace(const Linux& config);
// The file of a namespace, and of nothing else.
Result<OwnFd> open_namespace(const std::string& path);

// A process that is in the PID namespace whose file is `path`: of /proc/PID/ns/pid that one, else one that is looked
// for. A PID namespace in which there is nobody any more can't be joined.
Result<PidFd> process_in(const std::string& path);

}  // namespace gantry::runtime::oci
