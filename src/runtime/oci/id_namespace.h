// SPDX-License-Identifier: Apache-2.0
// Mappings of ids put to use: in a user namespace that a child has made, or in one that is made for nothing else.
// Single-threaded programs only.
#pragma once

#include <sys/types.h>

#include "base/owned_fd.h"
#include "base/result.h"
#include "runtime/oci/id_mappings.h"

namespace gantry::runtime::oci {

// Writes the mappings of the user namespace that a child of this process has just made. The error begins with the
// field, uidMappings or gidMappings. `proc`: a procfs of this process's PID namespace.
Status write_id_maps(FdRef proc, pid_t pid, const IdMappings& ids);
Status write_id_maps(pid_t pid, const IdMappings& ids);  // by /proc

// A user namespace with these mappings and no process, for an idmapped mount.
Result<OwnFd> user_namespace_of(FdRef proc, const IdMappings& ids);
Result<OwnFd> user_namespace_of(const IdMappings& ids);  // by /proc

}  // namespace gantry::runtime::oci
