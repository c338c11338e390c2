// SPDX-License-Identifier: Apache-2.0
// Takes from this process all that its work does not need, for good: for workers of ours that read what strangers sent.
// Single-threaded programs, before they read the first foreign byte. A library of its own (gantry_sys_confine).
//
// Afterwards: mount, network, IPC and UTS namespaces of its own; the root is `folder` alone (nosuid, nodev, noexec), or
// an empty read-only one; descriptors beyond `last_fd` are closed; not dumpable; capabilities as said, everywhere and
// for ever (bounding set, no_new_privs); rlimits; a seccomp allow-list without exec, clone, mounts, signals to others
// or executable memory, beyond which the process is killed.
#pragma once

#include <cstdint>
#include <span>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::sys {

struct Confinement {
  FdRef folder;  // a detached mount; not open: an empty root
  int last_fd = 2;
  bool dies_with_parent = true;
  unsigned user = 0;  // its user and its only group from then on; 0: they stay
  std::uint64_t file_bytes = 0;
  std::uint64_t memory_bytes = 0;  // 0: no limit
  std::uint64_t cpu_seconds = 0;   // 0: no limit
  std::uint64_t open_files = 1024;
  std::span<const int> capabilities;  // that are kept; CAP_CHOWN, ...
  // System calls beyond those that any program needs: reading and writing what is open, memory, time, its end.
  std::span<const int> calls;
};

Status confine(const Confinement& confinement);

}  // namespace gantry::sys
