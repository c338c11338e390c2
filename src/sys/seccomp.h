// SPDX-License-Identifier: Apache-2.0
// The listener of a seccomp filter: seccomp_unotify(2). What loads filters is launch/process.cc.
#pragma once

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::sys {

// By the name that /proc/self/fd has for it: an ioctl would be a wish to whatever else it may be.
bool is_seccomp_listener(FdRef fd);

// Takes the oldest call that nobody has taken (waits for one), and has the kernel carry it out as if it had not been
// left to the listener. Linux 5.5. is_not_found() when the caller has been killed.
Status let_call_go_on(FdRef listener);

}  // namespace gantry::sys
