// SPDX-License-Identifier: Apache-2.0
#include "volumes/mount_point.h"

#include <fcntl.h>
#include <sys/mount.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "sys/file.h"
#include "sys/mount.h"

namespace gantry::volumes {

Result<bool> is_mount_point(FdRef folder, const std::string& name) {
  // The device number would not tell a bind mount of the same file system; the kernel knows.
  auto within = sys::openat2(folder, name.c_str(), O_PATH | O_NOFOLLOW, sys::Resolve::kNoXdev | sys::Resolve::kBeneath);
  if (within || within.error().is_not_found()) return false;
  if (within.error().sys() == EXDEV) return true;
  return std::unexpected(std::move(within.error()));
}

Status unmount_at(const std::string& folder, const std::string& name, int flags) {
  auto dir = sys::open_dir(sys::kCwd, folder.c_str());
  if (!dir) return fail_with(std::move(dir.error()), folder);
  const std::string path = folder + "/" + name;
  for (;;) {
    auto mounted = is_mount_point(*dir, name);
    if (!mounted) return fail_with(std::move(mounted.error()), path);
    if (!*mounted) return {};
    if (auto done = sys::umount2(path.c_str(), UMOUNT_NOFOLLOW | flags); !done) {
      return fail_with(std::move(done.error()), path);
    }
  }
}

Result<std::vector<std::string>> names_in(const std::string& folder) {
  auto dir = sys::open_dir(sys::kCwd, folder.c_str());
  if (!dir && dir.error().is_not_found()) return std::vector<std::string>();
  auto names = dir ? sys::list_dir(*dir) : std::unexpected(std::move(dir.error()));
  if (!names) return fail_with(std::move(names.error()), folder);
  return names;
}

Status unmount_in(const std::string& folder, int flags) {
  auto names = names_in(folder);
  if (!names) return std::unexpected(std::move(names.error()));
  for (const auto& name : *names) {
    if (auto done = unmount_at(folder, name, flags); !done) return done;
  }
  return {};
}

}  // namespace gantry::volumes
