// SPDX-License-Identifier: Apache-2.0
#include "volumes/mount_point.h"

#include <fcntl.h>

#include <cerrno>

#include "sys/file.h"

namespace gantry::volumes {

Result<bool> is_mount_point(FdRef folder, const std::string& name) {
  // The device number would not tell a bind mount of the same file system; the kernel knows.
  auto within = sys::openat2(folder, name.c_str(), O_PATH | O_NOFOLLOW, sys::Resolve::kNoXdev | sys::Resolve::kBeneath);
  if (within || within.error().is_not_found()) return false;
  if (within.error().sys() == EXDEV) return true;
  return std::unexpected(std::move(within.error()));
}

}  // namespace gantry::volumes
