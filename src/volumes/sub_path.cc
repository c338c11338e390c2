// SPDX-License-Identifier: Apache-2.0
#include "volumes/sub_path.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "api/text.h"
#include "sys/file.h"
#include "sys/folders.h"
#include "sys/mount.h"
#include "volumes/mount_point.h"

namespace gantry::volumes {
namespace {

constexpr sys::Resolve kInside = sys::Resolve::kBeneath | sys::Resolve::kNoMagicLinks;
// Each part that is missing is looked for from the volume's root.
constexpr std::size_t kMaxParts = 128;
// What is bound lives elsewhere: nothing is lost when somebody still looks at it here.
constexpr int kFlags = MNT_DETACH;

std::string folder_of(std::string_view pod_folder) { return std::string(pod_folder) + "/volume-subpaths"; }

// A new folder with the root's mode, whatever the umask; what another made there meanwhile is not taken.
Result<OwnFd> make_part(FdRef parent, const char* name, mode_t mode) {
  if (auto made = sys::mkdirat(parent, name, mode & 0777); !made) return std::unexpected(std::move(made.error()));
  auto dir = sys::openat2(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, kInside | sys::Resolve::kNoXdev);
  if (!dir) return dir;
  if (auto set = sys::fchmod(*dir, mode); !set) return std::unexpected(std::move(set.error()));
  return dir;
}

// Goes down as far as there is something, always from the root: a link on the way may go up again within the volume.
Result<OwnFd> make_missing(FdRef root, const std::string& path) {
  auto info = sys::fstat(root);
  if (!info) return std::unexpected(std::move(info.error()));
  const std::vector<std::string> parts = absl::StrSplit(path, '/', absl::SkipEmpty());
  if (parts.size() > kMaxParts) {
    return invalid_argument(absl::StrCat("subPath has ", parts.size(), " parts; at most ", kMaxParts));
  }
  auto place = sys::openat2(root, ".", O_PATH | O_DIRECTORY, kInside);
  std::string above;
  bool is_made = false;
  for (const auto& part : parts) {
    if (!place) break;
    if (part == ".") continue;
    above += above.empty() ? part : "/" + part;
    if (!is_made) {
      auto next = sys::openat2(root, above.c_str(), O_PATH, kInside);
      if (next || !next.error().is_not_found()) {
        place = std::move(next);
        continue;
      }
      is_made = true;
    }
    place = make_part(*place, part.c_str(), info->st_mode & (0777 | S_ISGID));
  }
  return place;
}

Result<OwnFd> resolve(const std::string& volume_path, const std::string& path) {
  auto root = sys::openat(sys::kCwd, volume_path.c_str(), O_PATH | O_DIRECTORY);
  if (!root) return fail_with(std::move(root.error()), "the volume");
  auto place = sys::openat2(*root, path.c_str(), O_PATH, kInside);
  if (place || !place.error().is_not_found()) return place;
  return make_missing(*root, path);
}

// What the place is mounted on: a folder or a file, as it is one.
Result<OwnFd> make_target(const std::string& folder, const std::string& name, bool is_folder) {
  if (auto made = sys::make_folders(folder, 0750); !made) return std::unexpected(std::move(made.error()));
  auto dir = sys::open_dir(sys::kCwd, folder.c_str());
  if (!dir) return std::unexpected(std::move(dir.error()));
  if (auto gone = unmount_at(folder, name, kFlags); !gone) return std::unexpected(std::move(gone.error()));
  if (auto gone = sys::remove_tree(*dir, name.c_str()); !gone) return std::unexpected(std::move(gone.error()));
  if (!is_folder) return sys::openat(*dir, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0640);
  if (auto made = sys::mkdirat(*dir, name.c_str(), 0750); !made) return std::unexpected(std::move(made.error()));
  return sys::openat(*dir, name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW);
}

}  // namespace

Status check_sub_path(std::string_view path) {
  if (path.starts_with('/')) {
    return invalid_argument(absl::StrCat("subPath ", api::quoted(path), " must not be an absolute path"));
  }
  for (absl::string_view part : absl::StrSplit(absl::string_view(path.data(), path.size()), '/')) {
    if (part != "..") continue;
    return invalid_argument(absl::StrCat("unable to provision subPath ", api::quoted(path), ": must not contain '..'"));
  }
  return {};
}

Result<std::string> bind_sub_path(const std::string& pod_folder, const SubPath& sub_path) {
  if (auto good = check_sub_path(sub_path.path); !good) return std::unexpected(std::move(good.error()));
  const auto failed = [&](Error error) {
    return fail_with(std::move(error),
                     absl::StrCat("subPath ", api::quoted(sub_path.path), " of volume ", api::quoted(sub_path.volume)));
  };
  auto place = resolve(sub_path.volume_path, sub_path.path);
  if (!place) return failed(std::move(place.error()));
  auto info = sys::fstat(*place);
  if (!info) return failed(std::move(info.error()));
  const std::string folder = absl::StrCat(folder_of(pod_folder), "/", sub_path.volume, "/", sub_path.container);
  const std::string name = absl::StrCat(sub_path.index);
  auto target = make_target(folder, name, S_ISDIR(info->st_mode));
  if (!target) return failed(std::move(target.error()));
  auto mount = sys::clone_mount(*place, "", sys::Recursive::kNo);
  if (!mount) return failed(std::move(mount.error()));
  // In a shared tree the copy would be of one peer group with the place: what is mounted below that later is below the
  // copy, too, and would be unmounted there with it. A slave gets such mounts and gives none.
  auto kept = sys::set_attributes(*mount, "", sys::MountAttr::kNone, sys::MountAttr::kNone, sys::Propagation::kSlave,
                                  sys::Recursive::kNo);
  if (!kept) return failed(std::move(kept.error()));
  if (auto done = sys::attach(*mount, *target); !done) return failed(std::move(done.error()));
  return absl::StrCat(folder, "/", name);
}

Status unbind_sub_paths(const std::string& pod_folder) {
  const std::string folder = folder_of(pod_folder);
  auto volumes = names_in(folder);
  if (!volumes) return std::unexpected(std::move(volumes.error()));
  for (const auto& volume : *volumes) {
    auto containers = names_in(absl::StrCat(folder, "/", volume));
    if (!containers) return std::unexpected(std::move(containers.error()));
    for (const auto& container : *containers) {
      auto done = unmount_in(absl::StrCat(folder, "/", volume, "/", container), kFlags);
      if (!done) return done;
    }
  }
  return {};
}

}  // namespace gantry::volumes
