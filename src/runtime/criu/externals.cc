// SPDX-License-Identifier: Apache-2.0
#include "runtime/criu/externals.h"

#include <fcntl.h>

#include <algorithm>
#include <cstdio>
#include <set>

#include "base/text.h"
#include "sys/file.h"

namespace gantry::runtime {
namespace {

// Which CRIU mounts anew and, where they have files, fills.
constexpr std::string_view kOwnKinds[] = {"proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2"};

bool is_at_or_beneath(std::string_view path, const std::vector<std::string>& places) {
  return std::ranges::any_of(places, [path](const std::string& place) {
    return path.starts_with(place) && (path.size() == place.size() || path[place.size()] == '/');
  });
}

bool has(const auto& all, std::string_view wanted) { return std::ranges::find(all, wanted) != std::end(all); }

bool is_own(const sys::MountEntry& mount) {
  // Of cgroups each container sees a part, by its cgroup namespace.
  return has(kOwnKinds, mount.kind) && (mount.root == "/" || mount.kind.starts_with("cgroup"));
}

}  // namespace

Result<std::string> real_place(FdRef root, const std::string& path, struct stat& info) {
  std::size_t first = path.find_first_not_of('/');
  auto place = sys::openat2(root, first == std::string::npos ? "." : path.c_str() + first, O_PATH,
                            sys::Resolve::kInRoot | sys::Resolve::kNoMagicLinks);
  if (!place) {
    if (place.error().is_not_found()) return std::string();
    return std::unexpected(std::move(place.error()));
  }
  auto found = sys::fstat(*place);
  if (!found) return std::unexpected(std::move(found.error()));
  info = *found;
  return sys::readlinkat(sys::kCwd, cat("/proc/self/fd/", place->get()).c_str());
}

std::string pipe_name(const struct stat& info) { return cat("pipe:[", info.st_ino, "]"); }

std::string file_name(std::uint64_t mount, const struct stat& info) {
  char name[64];
  std::snprintf(name, sizeof(name), "file[%lx:%lx]", static_cast<unsigned long>(mount),
                static_cast<unsigned long>(info.st_ino));
  return name;
}

Pairs external_mounts(const std::vector<sys::MountEntry>& mounts, const std::vector<std::string>& from_host,
                      const std::vector<std::string>& masked_files, const std::vector<std::string>& masked_folders) {
  std::set<std::string_view> own;  // file systems
  for (const sys::MountEntry& mount : mounts) {
    if (is_at_or_beneath(mount.point, from_host)) continue;
    if (mount.point == "/" || is_own(mount)) own.insert(mount.device);
  }
  Pairs externals;
  for (const sys::MountEntry& mount : mounts) {
    if (mount.point == "/") continue;
    if (has(masked_files, mount.point)) {
      externals.emplace_back(mount.point, kMaskedFile);
    } else if (has(masked_folders, mount.point)) {
      externals.emplace_back(mount.point, kMaskedFolder);
    } else if (is_at_or_beneath(mount.point, from_host) || !own.contains(mount.device)) {
      externals.emplace_back(mount.point, mount.point);
    }
  }
  return externals;
}

}  // namespace gantry::runtime
