// SPDX-License-Identifier: Apache-2.0
// A container's cgroup, for gantry-oci: where it is, its limits, its end. The cgroupfs driver, waiting where it must.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cgroups/cgroup.h"
#include "runtime/oci/config.h"

namespace gantry::cli {

// Where linux.cgroupsPath leads: absolute from the hierarchy's root, or, as with other runtimes, beside the cgroup that
// this process is in. Empty: a cgroup of the container's id there.
Result<std::string> container_cgroup(const std::string& cgroups_path, const std::string& id);

// Whose it is: several containers may name one cgroup, of which each takes it when it finds it empty, while one that
// has ended but is not deleted still has it in its record. So its folder bears a claim (an extended attribute), and who
// did not make the last one leaves all that is in it alone.
//
// Whether it is there already; then it must be empty.
Result<bool> is_cgroup_there(const std::string& path);
// Makes it, unless it is there, empty.
Result<cgroups::Cgroup> make_cgroup(const std::string& path);
// Claims it by what nobody else has, if it is empty and nobody is about to be in it. What this gives is kept until a
// process is in it.
Result<OwnFd> claim_cgroup(const cgroups::Cgroup& cgroup, const std::string& claim);
// The cgroup of a container with this claim, of which nobody takes possession meanwhile. Nothing when it is gone, or
// another's.
struct HeldCgroup {
  cgroups::Cgroup cgroup;
  OwnFd hold;
  bool is_claimed = true;  // false: its maker was killed before it could
};
Result<std::optional<HeldCgroup>> hold_cgroup(const std::string& path, const std::string& claim);
// Puts limits in force; one that this host can't enforce is an error.
Status apply_resources(const cgroups::Cgroup& cgroup, const cgroups::Resources& resources);
// Puts the device filter in force. Only root of the host may; in the user namespaces of others no device can be made.
Status filter_devices(const cgroups::Cgroup& cgroup, const runtime::oci::Linux& config);

// Kills all that is in it, waits until it is empty, and removes it with its children if `removes` or if another create
// has made it. One that is not there, or is another's by now, is fine.
Status end_cgroup(const std::string& path, bool removes, const std::string& claim);

// Opens it. is_not_found() when it is gone; a container that was made without one has the path "".
Result<cgroups::Cgroup> open_cgroup(const std::string& path);
// The one that a process is in now.
Result<cgroups::Cgroup> cgroup_of(pid_t pid);
// All processes in it and beneath it.
Result<std::vector<pid_t>> processes_in(const cgroups::Cgroup& cgroup);

// Freezes or thaws, and returns when all have stopped or go on.
Status freeze(const cgroups::Cgroup& cgroup, bool frozen);

}  // namespace gantry::cli
