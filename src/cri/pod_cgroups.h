// SPDX-License-Identifier: Apache-2.0
// Where the processes of a pod are in the cgroup tree, and the making and removing of these places:
//
//   ROOT/shims/SANDBOX       its shim, never beneath the pod's limits
//   POD/CONTAINER            a container
//   POD/SANDBOX              gantry-init of a pod that shares a PID namespace
//
// With the driver cgroupfs POD is the CRI client's cgroup_parent, an absolute place in the hierarchy taken as it is;
// for a pod without one it is ROOT/kubepods/podUID. With the driver systemd it is in a scope of the pod's own:
//
//   SLICE/gantry-SANDBOX.scope/keeper   see cgroups/scopes.h
//   SLICE/gantry-SANDBOX.scope/pod      POD
//
// SLICE is the client's cgroup_parent, or kubepods-podUID.slice. Which of the two a pod has is said by its path, which
// is recorded: the driver may change while pods live. Loop thread; a few system calls on kernfs each.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "cgroups/cgroup.h"
#include "cgroups/driver.h"
#include "cgroups/resources.h"

namespace gantry::cri {

// `parent` is cgroup_parent, checked, or empty. A uid that can't be a folder's or a slice's name gives way to the
// sandbox's id.
std::string pod_cgroup_path(cgroups::DriverKind driver, std::string_view root, std::string_view parent,
                            std::string_view uid, std::string_view sandbox_id);
// The scope in which a pod's cgroup is; empty when it has none.
std::string pod_scope_path(std::string_view pod, std::string_view sandbox_id);
// The id that a scope's name has in it; empty for what no pod's scope is called.
std::string_view sandbox_of_scope(std::string_view name);
std::string shim_cgroup_path(std::string_view root, std::string_view sandbox_id);
std::string child_cgroup_path(std::string_view pod, std::string_view id);

// A descriptor of the cgroup's folder for clone3 in another process.
Result<OwnFd> cgroup_fd(const cgroups::Cgroup& cgroup);

// Limits the pod's own cgroup at `path` (and not its scope's), when it, or the slice that the scope is in, is of our
// making: a client that made its cgroup_parent itself, as kubelet does, limits it itself. What this host can't enforce
// is left out; the containers' own limits, of which these are the sums, say so.
Status limit_pod_cgroup(const cgroups::CgroupfsDriver& driver, std::string_view instance, std::string_view path,
                        std::string_view scope, const cgroups::Resources& resources);

// SIGKILL to all in it, now. One that is not there, or no path, is fine.
Status kill_cgroup(const cgroups::CgroupfsDriver& driver, std::string_view path);

// Removes the cgroup at `path` and those above it, as far as they are empty and bear the driver's mark. What is in use,
// kept, or somebody else's, stays.
void remove_empty_upward(const cgroups::CgroupfsDriver& driver, std::string_view instance, std::string path);

}  // namespace gantry::cri
