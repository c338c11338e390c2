// SPDX-License-Identifier: Apache-2.0
// How much disk a folder takes, by walking it through descriptors: never across a mount, never through a link. Bounded
// by a count of entries, because what is in the folder is a container's to decide. Blocking.
#pragma once

#include <cstdint>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::sys {

struct DiskUsage {
  std::uint64_t bytes = 0;  // as allocated
  std::uint64_t inodes = 0;
  bool is_whole = true;  // false: it is at least this much
};

// Of `name` beneath `dir` and all below it. What is below `max_entries` entries is not counted, nor what lies deeper
// than 64 folders.
Result<DiskUsage> disk_usage(FdRef dir, const char* name, std::uint64_t max_entries);

}  // namespace gantry::sys
