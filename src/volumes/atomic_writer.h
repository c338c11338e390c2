// SPDX-License-Identifier: Apache-2.0
// Writes a payload into a volume so that whoever reads it meanwhile sees all of the old one or all of the new one. As
// in kubelet's volumes, which programs know that watch their configuration:
//
//   VOLUME/
//     ..2026_01_02_03_04_05.000006/   the files
//     ..data -> that folder           what is swapped, by one rename
//     NAME -> ..data/NAME             for each first component of a path
//
// Killed between any two lines, the next call sets all right: what no link leads to is removed. Nothing is synced, as
// the next call compares with what is there byte by byte. Everything goes by descriptor and follows no link. Names that
// are not the writer's are left alone.
//
// Blocking; one writer of a volume at a time.
#pragma once

#include <sys/types.h>

#include <optional>

#include "base/owned_fd.h"
#include "base/result.h"
#include "volumes/payload.h"

namespace gantry::volumes {

// True: it was written; false: it was there already. With `group` (fsGroup) all is that group's, which may read it.
Result<bool> write_payload(FdRef volume, const Payload& payload, std::optional<gid_t> group);

// A payload was written into it, whole.
bool is_written(FdRef volume);

}  // namespace gantry::volumes
