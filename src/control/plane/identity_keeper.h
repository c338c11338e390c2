// SPDX-License-Identifier: Apache-2.0
// Keys and certificates while nobody restarts this program: certificates are made anew before they end, and what
// somebody changes in the folder (gantry-control keys, or a copy of another server's files) is taken.
#pragma once

#include <functional>

#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"
#include "control/identity/cluster_identity.h"

namespace gantry::control {

// `use` is called on the loop with each identity that is not what was used last, `used` at the beginning; when it
// fails, again later; `write` writes on `disk` what others read of it. A folder in which something is missing or does
// not go together is reported, and the last identity stays. The folder is read on `disk`. Never returns.
Task<> keep_identity(Loop& home, Pool& disk, IdentityOptions options, ClusterIdentity used,
                     std::function<Status(const ClusterIdentity&)> use,
                     std::function<Status(const ClusterIdentity&)> write);

}  // namespace gantry::control
