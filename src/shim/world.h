// SPDX-License-Identifier: Apache-2.0
// The mount namespace that shims live in: emptied of all that is the host's, so that it pins nothing, with the few
// places in it that the launcher needs (runtime/launch/launch.h names them). Single-threaded programs only.
#pragma once

#include <cstdint>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::shim {

// Leaves the host's mount namespace for an empty one. The template does it once; the others are cloned from it.
// `for_user_namespace`: with the host's /proc and /sys, which the kernel wants to see where such a namespace mounts its
// own, and its null device, as one can't be made there.
// `label`: of what it gives containers as covers, for SELinux.
Status enter_empty_world(bool for_user_namespace = false, const char* label = "");
// The same in a mount namespace that is this process's own already.
Status empty_world(bool for_user_namespace = false, const char* label = "");

// Gives a pod its own /dev/shm of at most `bytes`, in a mount namespace that is already the shim's own; `uid` and `gid`
// are the pod's root.
Status mount_pod_shm(std::uint64_t bytes, std::uint32_t uid, std::uint32_t gid);
// The same for a procfs and a sysfs that are seen whole, which a user namespace's own take: at the host's places.
Status mount_proc_and_sys();

// A procfs instance that nobody else sees, for reading and writing under /proc; its place is a folder.
Result<MountFd> private_proc();

}  // namespace gantry::shim
