// SPDX-License-Identifier: Apache-2.0
#include "sys/folders.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "sys/file.h"

namespace gantry::sys {

Status make_folders(const std::string& path, mode_t mode) {
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    std::string part = path.substr(0, end);
    auto made = mkdirat(kCwd, part.c_str(), mode);
    // What is there need not be writable for us.
    if (!made && !made.error().is_already_exists() && !fstatat(kCwd, part.c_str(), 0)) {
      return fail_with(std::move(made.error()), "make folder");
    }
    if (end == std::string::npos) break;
  }
  auto info = fstatat(kCwd, path.c_str(), 0);
  if (!info) return std::unexpected(std::move(info.error()));
  if (!S_ISDIR(info->st_mode)) return fail(Code::kFailedPrecondition, path + " is not a folder");
  return {};
}

Status sync_folder(FdRef dir) {
  auto open = openat(dir, ".", O_RDONLY | O_DIRECTORY);
  if (!open) return std::unexpected(std::move(open.error()));
  return fsync(*open);
}

}  // namespace gantry::sys
