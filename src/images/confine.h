// SPDX-License-Identifier: Apache-2.0
// Takes from this process all that unpacking does not need, for good. Single-threaded programs, before they read the
// first foreign byte. Internal to src/images.
//
// Afterwards: mount, network, IPC and UTS namespaces of its own; the root is `folder` alone (nosuid, nodev, noexec), or
// an empty read-only one; descriptors beyond `last_fd` are closed; not dumpable; dies with its parent; capabilities as
// said, everywhere and for ever (bounding set, no_new_privs); rlimits; a seccomp allow-list without exec, clone,
// sockets, mounts, signals to others or executable memory, beyond which the process is killed.
#pragma once

#include <cstdint>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::images {

struct Confinement {
  FdRef folder;  // a detached mount; not open: an empty root and no capability
  int last_fd = 2;
  std::uint64_t file_bytes = 0;
  std::uint64_t memory_bytes = 0;  // 0: no limit
  std::uint64_t cpu_seconds = 0;
};

Status confine(const Confinement& confinement);

}  // namespace gantry::images
