// SPDX-License-Identifier: Apache-2.0
#include "agent/folder_tools.h"

#include <fcntl.h>

#include <cerrno>

#include "sys/file.h"

namespace gantry::agent {

Status make_folders(const std::string& path, mode_t mode) {
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    std::string part = path.substr(0, end);
    auto made = sys::mkdirat(sys::kCwd, part.c_str(), mode);
    // What is there need not be writable for us.
    if (!made && !made.error().is_already_exists()) {
      if (!sys::fstatat(sys::kCwd, part.c_str(), 0)) return fail_with(std::move(made.error()), "make folder");
    }
    if (end == std::string::npos) break;
  }
  auto info = sys::fstatat(sys::kCwd, path.c_str(), 0);
  if (!info) return std::unexpected(std::move(info.error()));
  if (!S_ISDIR(info->st_mode)) return fail(Code::kFailedPrecondition, path + " is not a folder");
  return {};
}

Result<bool> is_mount(FdRef folder, const std::string& name) {
  // The device number would not tell a bind mount of the same file system; the kernel knows.
  auto within = sys::openat2(folder, name.c_str(), O_PATH | O_NOFOLLOW, sys::Resolve::kNoXdev | sys::Resolve::kBeneath);
  if (within || within.error().is_not_found()) return false;
  if (within.error().sys() == EXDEV) return true;
  return std::unexpected(std::move(within.error()));
}

}  // namespace gantry::agent
