// SPDX-License-Identifier: Apache-2.0
// A pod's user namespace. The shim stays outside, as the host's root; what must belong to the namespace is made by
// children that enter it. Single-threaded programs only.
#pragma once

#include <functional>

#include "base/owned_fd.h"
#include "base/result.h"
#include "sys/process.h"

namespace gantry::shim {

// Enters it for good, as its root.
Status enter_users(FdRef users);
// Runs `steps` in a child that has, and waits for its end; what went wrong.
Status run_as_root_of(FdRef users, const std::function<Status()>& steps);
// Namespaces of these kinds (net, ipc, uts) that belong to it; this process joins them. `proc`: its procfs.
Status enter_new_namespaces_of(FdRef users, FdRef proc, sys::CloneFlag kinds);

}  // namespace gantry::shim
