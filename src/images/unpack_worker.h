// SPDX-License-Identifier: Apache-2.0
// The confined worker that inflates and unpacks what strangers sent: a short-lived process, the same executable run
// again as `gantryd unpack-worker ...` (or `gantry unpack-worker ...`). unpack.h is its parent's side.
//
// Before it reads the first byte it has: mount, network, IPC and UTS namespaces of its own, with the one folder that it
// fills as its whole root (the inflater has an empty one); no capability but CHOWN, DAC_OVERRIDE, FOWNER, FSETID, MKNOD
// and SETFCAP (the inflater none); no_new_privs; rlimits; a seccomp allow-list; no dumps. Its standard input is the
// bytes to work on, and its descriptors beyond that are the few that the parent passed.
#pragma once

namespace gantry::images {

// The programs' main() goes here first when argv[1] is this word. argv[0] and argv[1] are skipped.
inline constexpr char kUnpackWorkerCommand[] = "unpack-worker";

// Returns the exit code; single-threaded, to be called before anything else in main().
int unpack_worker_main(int argc, char** argv);

}  // namespace gantry::images
