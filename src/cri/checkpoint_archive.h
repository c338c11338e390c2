// SPDX-License-Identifier: Apache-2.0
// The archive of a checkpoint as a container is made from it: one that CheckpointContainer wrote, here or in another
// runtime. It is unpacked by the confined worker that unpacks images (images/unpack.h), and what came out of it is
// looked at here: a few files and one folder of files, everything else is refused. Its CRIU images are CRIU's to read.
// Blocking; a pool's thread.
#pragma once

#include <string>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::cri {

// Beneath the folder that it is unpacked into.
inline constexpr const char* kCheckpointImages = "checkpoint";
inline constexpr const char* kCheckpointRoot = "rootfs-diff.tar";  // not there: nothing was changed
// Files of CRIU's, of which there are some for each process and each of its open files.
inline constexpr std::size_t kMaxCheckpointFiles = 50'000;

// Which image the container was made from, by the words that are to be tried one after the other: its id or digest, and
// its name.
using CheckpointBase = std::vector<std::string>;

// `folder` is empty. On failure it may hold anything.
Result<CheckpointBase> unpack_checkpoint(FdRef archive, FdRef folder);

// The second half of it: keeps what a start needs, and removes what else an archive may have.
Result<CheckpointBase> take_unpacked(FdRef folder);

// Of config.dump. Pure.
Result<CheckpointBase> parse_checkpoint_base(std::string_view text);

}  // namespace gantry::cri
