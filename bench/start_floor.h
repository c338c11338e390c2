// SPDX-License-Identifier: Apache-2.0
// The floor of a container start: clone3 with the same namespaces, the same mounts, devices and masks, pivot_root,
// exec, with nothing around it: no plan, no report of errors, paths trusted. What no runtime can go below.
#pragma once

#include "bench/measure.h"

namespace gantry::bench {

struct Floor {
  // Network, ipc and uts namespaces are new, or those of the caller.
  bool has_own_namespaces = false;
  // Until the program's end, or its beginning.
  bool until_end = false;
};
// As a container of a pod starts, and as `run` makes one alone.
inline constexpr Floor kJoining{};
inline constexpr Floor kAlone{true, true};

// From before the clone, once for each of `runs`; none when a step failed. `rootfs` is a folder with /bin/true in it.
Times measure_floor(const char* rootfs, int cgroup_fd, Floor floor, int runs);

}  // namespace gantry::bench
