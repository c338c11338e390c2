// SPDX-License-Identifier: Apache-2.0
// The world a node test runs in. gantry_node_main brings main() for them: the whole program runs as the second process
// of its own mount, PID, network, IPC and UTS namespaces, so that whatever a test leaves behind ends with it, and the
// machine's network, mounts and cgroups stay as they are. In that world
//   /run and /mnt       are fresh tmpfs,
//   /sys/fs/cgroup      is a pure cgroup v2 view, and cgroup_dir() a folder of this program alone in it,
//   lo                  is up.
// Without root the program fails, naming what it lacks.
#pragma once

#include <string>

#include "base/owned_fd.h"

namespace gantry::test {

// Runs `body` in such a world, in a process of its own, and ends this one with its result: it does not return.
// Single-threaded callers.
int run_in_own_world(int (*body)());

// This program's cgroup folder, as a path beneath /sys/fs/cgroup ("/gantry-test-1234") and open.
const std::string& cgroup_path();
FdRef cgroup_dir();

// Open descriptors of this process: equal before and after says that none leaked.
std::size_t count_open_fds();
// Mounts that this process sees.
std::size_t count_mounts();

}  // namespace gantry::test
