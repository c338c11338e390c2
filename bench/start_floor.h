// SPDX-License-Identifier: Apache-2.0
// The floor of a container start: clone3 with the same namespaces, the same mounts, devices and masks, pivot_root,
// exec, with nothing around it: no plan, no report of errors, paths trusted. What no runtime can go below.
#pragma once

#include <cstdint>
#include <vector>

namespace gantry::bench {

// Nanoseconds from before the clone to the exec, once for each of `runs`. `rootfs` is a folder with /bin/true in it.
std::vector<std::int64_t> measure_floor(const char* rootfs, int cgroup_fd, int runs);

}  // namespace gantry::bench
