// SPDX-License-Identifier: Apache-2.0
// A container's process is this program until it executes its own, and a container can have this program executed
// (`#!/proc/self/exe`). What is reached as /proc/PID/exe can be opened for writing when nobody executes it any more
// (CVE-2019-5736). So what makes processes runs where its file can't be written. Mostly oci_entry.cc has seen to that
// before main().
#pragma once

#include "base/result.h"

namespace gantry::cli {

// Executes this program anew, with the same arguments and environment, from a file that nobody can write; does nothing
// when it runs from such a one already. It is the same file in an overlay without an upper layer, which is mounted
// nowhere: a few system calls, whatever the program's size. Where that can't be made (without CAP_SYS_ADMIN, say), it
// is a sealed copy in memory. Single-threaded; signals' dispositions and descriptors stay as they are.
Status run_unwritable(char** argv);

}  // namespace gantry::cli
