// SPDX-License-Identifier: Apache-2.0
#include "cri/disk_usage.h"

#include "sys/disk_usage.h"

namespace gantry::cri {

Result<std::optional<DiskUsage>> disk_usage(FdRef dir, const char* name, std::uint64_t max_entries) {
  auto usage = sys::disk_usage(dir, name, max_entries);
  if (!usage) return std::unexpected(std::move(usage.error()));
  if (!*usage) return std::nullopt;
  return DiskUsage{(*usage)->bytes, (*usage)->inodes};
}

}  // namespace gantry::cri
