// SPDX-License-Identifier: Apache-2.0
// Folders in memory: a tmpfs, or a hugetlbfs, mounted on a folder of ours, on the host, where it outlives gantryd.
// Blocking.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::volumes {

struct MemoryFolder {
  mode_t mode = 0777;
  std::optional<gid_t> group;
  std::uint64_t size = 0;  // in bytes; 0: the kernel's default, half of the machine's memory, or all huge pages
  // Of huge pages of so many bytes each; 0: of ordinary memory.
  std::uint64_t huge_page = 0;
  // It is not swapped out, if the kernel can promise that (Linux 6.4).
  bool is_secret = false;
};

// On `name` in `parent`, which is there. Only once: one that is mounted already stays as it is.
Status mount_memory(FdRef parent, const std::string& name, const MemoryFolder& folder);

}  // namespace gantry::volumes
