// SPDX-License-Identifier: Apache-2.0
#include "volumes/local_folder.h"

#include <fcntl.h>

#include <utility>

#include "api/local_volumes.h"
#include "api/text.h"
#include "base/text.h"
#include "kubernetes/core/v1/persistent_volume.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "sys/file.h"
#include "sys/folders.h"
#include "sys/mount_table.h"

namespace gantry::volumes {
namespace {

struct Place {
  DirFd folder;
  std::string name;
  // While it is made. No volume's name begins with a dot.
  std::string unfinished() const { return cat(".", name); }
};

Result<Place> place_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos || slash == 0) return invalid_argument("a local volume is in a folder of its own");
  std::string name = path.substr(slash + 1);
  if (name.empty() || name.starts_with('.')) return invalid_argument("a local volume has a name");
  auto folder = sys::open_dir(sys::kCwd, path.substr(0, slash).c_str());
  if (!folder) return std::unexpected(std::move(folder.error()));
  return Place{std::move(*folder), std::move(name)};
}

// Also where a pod's object went before its containers did.
Result<bool> is_in_use(const std::string& name, const std::string& pods_folder) {
  auto mounts = sys::mounts_of("self");
  if (!mounts) return std::unexpected(std::move(mounts.error()));
  const std::string beneath = cat(pods_folder, "/");
  const std::string end = cat("/volumes/kubernetes.io~local-volume/", name);
  for (const sys::MountEntry& mount : *mounts) {
    if (mount.point.starts_with(beneath) && mount.point.ends_with(end)) return true;
  }
  return false;
}

}  // namespace

bool is_made_here(const k8s::io::api::core::v1::PersistentVolume& volume, std::string_view node,
                  std::string_view folder) {
  const auto& labels = volume.metadata().labels();
  const auto label = labels.find(api::kLocalVolumeNode);
  return !folder.empty() && label != labels.end() && label->second == node &&
         volume.spec().persistent_volume_source().local().path() == cat(folder, "/", volume.metadata().name());
}

Status make_local_folder(const std::string& path) {
  if (auto made = sys::make_folders(path.substr(0, path.rfind('/')), 0700); !made) return made;
  auto place = place_of(path);
  if (!place) return std::unexpected(std::move(place.error()));
  auto there = sys::fstatat(place->folder, place->name.c_str(), AT_SYMLINK_NOFOLLOW);
  if (there) return {};
  if (!there.error().is_not_found()) return std::unexpected(std::move(there.error()));
  const std::string unfinished = place->unfinished();
  if (auto made = sys::mkdirat(place->folder, unfinished.c_str(), 0700); !made && !made.error().is_already_exists()) {
    return made;
  }
  auto opened = sys::openat(place->folder, unfinished.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!opened) return std::unexpected(std::move(opened.error()));
  // Whatever the umask is.
  if (auto given = sys::fchmod(*opened, 0777); !given) return given;
  if (auto named = sys::renameat2(place->folder, unfinished.c_str(), place->folder, place->name.c_str(), 0); !named) {
    return named;
  }
  return sys::sync_folder(place->folder);
}

Status remove_local_folder(const std::string& path, const std::string& pods_folder) {
  auto place = place_of(path);
  if (!place && place.error().is_not_found()) return {};
  if (!place) return std::unexpected(std::move(place.error()));
  auto used = is_in_use(place->name, pods_folder);
  if (!used) return std::unexpected(std::move(used.error()));
  if (*used) return fail(Code::kFailedPrecondition, cat("remove ", api::quoted(path), ": a pod still has it"));
  for (const std::string& name : {place->unfinished(), place->name}) {
    if (auto removed = sys::remove_tree(place->folder, name.c_str()); !removed) return removed;
  }
  return sys::sync_folder(place->folder);
}

}  // namespace gantry::volumes
