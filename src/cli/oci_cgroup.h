// SPDX-License-Identifier: Apache-2.0
// A container's cgroup, for gantry-oci: where it is, its limits, its end. The cgroupfs driver, waiting where it must.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cgroups/cgroup.h"
#include "runtime/oci/config.h"

namespace gantry::cli {

// Where linux.cgroupsPath leads: absolute from the hierarchy's root, or, as with other runtimes, beside the cgroup that
// this process is in. Empty: a cgroup of the container's id there.
Result<std::string> container_cgroup(const std::string& cgroups_path, const std::string& id);

// Whether it is there already; then it must be empty.
Result<bool> is_cgroup_there(const std::string& path);
// Makes it, unless it is there, empty.
Result<cgroups::Cgroup> make_cgroup(const std::string& path);
// Puts limits in force; one that this host can't enforce is an error.
Status apply_resources(const cgroups::Cgroup& cgroup, const cgroups::Resources& resources);
// Puts the limits and the device filter in force; a limit that this host can't enforce is an error. Only root of the
// host may filter devices; in the user namespaces of others none can be made.
Status limit_cgroup(const cgroups::Cgroup& cgroup, const runtime::oci::Linux& config, bool filters_devices);

// Kills all that is in it, waits until it is empty, and removes it with its children if `removes`. One that is not
// there is fine.
Status end_cgroup(const std::string& path, bool removes);

// Opens it. is_not_found() when it is gone; a container that was made without one has the path "".
Result<cgroups::Cgroup> open_cgroup(const std::string& path);
// The one that a process is in now.
Result<cgroups::Cgroup> cgroup_of(pid_t pid);
// All processes in it and beneath it.
Result<std::vector<pid_t>> processes_in(const cgroups::Cgroup& cgroup);

// Freezes or thaws, and returns when all have stopped or go on.
Status freeze(const cgroups::Cgroup& cgroup, bool frozen);

}  // namespace gantry::cli
