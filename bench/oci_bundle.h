// SPDX-License-Identifier: Apache-2.0
// The bundle that OCI runtimes are measured with: /bin/true in an overlay root, with all that engines give a container
// by default: every namespace but user and time, mounts, masked and read-only paths, capabilities, the device filter,
// seccomp.
#pragma once

#include <string>

namespace gantry::bench {

// Makes it in this folder, which is there, with the root folder mounted at `rootfs`; its configuration is still to
// come.
void make_oci_bundle(const std::string& folder);
// `cgroup` is the container's cgroupsPath; `limits`: of memory, processor time and processes.
void write_oci_config(const std::string& folder, const std::string& cgroup, bool limits);

}  // namespace gantry::bench
