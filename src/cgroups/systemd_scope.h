// SPDX-License-Identifier: Apache-2.0
// A place in the hierarchy that systemd grants to us: a delegated scope in the root slice, which outlives the service
// that asked for it, so that stopping, limiting or restarting that service never touches what runs in the scope. It
// lives as long as a process is in it or beneath it.
// Source: systemd's CGROUP_DELEGATION.md, org.freedesktop.systemd1(5).
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"
#include "cgroups/hierarchy.h"

namespace gantry::cgroups {

// Makes the scope `name` ("gantry-pods.scope"), or finds it, and puts `keeper` into a child of it. Returns the scope's
// path in the hierarchy. Blocks on the system bus, 30 s at most; before the loop runs. kUnavailable when systemd does
// not answer there.
Result<std::string> enter_systemd_scope(const Hierarchy& hierarchy, const std::string& name, pid_t keeper);

}  // namespace gantry::cgroups
