// SPDX-License-Identifier: Apache-2.0
// Who writes a checkpoint: a short-lived process, gantryd's own program run again as `gantryd checkpoint-worker`, in
// the host's namespaces. It has one thread, as whoever starts CRIU must, and what is large is in it and not in gantryd:
// the archive, lists of a container's files.
//
// CRIU stops the container, and writes what it finds into the work folder; while all still stands, what the container
// changed in its root is packed beside that; then the container goes on. The folder is packed into a file without a
// name, which gets its own when it is whole and on the disk: whatever happens on the way, nothing half stands there.
//
// When `control` ends, because nobody waits any more or gantryd is gone, it stops at the next safe point, with the
// container going on. The work folder is always emptied, which whoever started this removes; it is locked (flock)
// as long as this lives.
#pragma once

namespace gantry::cri {

inline constexpr char kCheckpointWorkerCommand[] = "checkpoint-worker";

// Its descriptors, from 3 on.
enum class CheckpointFd : int {
  kControl = 3,  // a pipe's read end; its end is the order to stop
  kAnswer,       // a pipe's write end: an answer of checkpoint_order.h
  kOrder,        // a memfd: an order of checkpoint_order.h
  kWork,         // an empty folder, locked
  kUpper,        // the upper folder of the container's overlay
  kPlace,        // the folder of the archive
  kLog,          // the container's log; not open: it has none
};

// The programs' main() goes here first when argv[1] is this word. Returns the exit code.
int checkpoint_worker_main();

}  // namespace gantry::cri
