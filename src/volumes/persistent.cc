// SPDX-License-Identifier: Apache-2.0
#include "volumes/persistent.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/text.h"
#include "kubernetes/core/v1/persistent_volume.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "sys/file.h"
#include "sys/folders.h"
#include "sys/mount.h"
#include "sys/mount_table.h"
#include "volumes/host_path.h"
#include "volumes/local_folder.h"
#include "volumes/mount_point.h"
#include "volumes/ownership.h"

namespace gantry::volumes {
namespace {

namespace core = k8s::io::api::core::v1;

// Whether another pod has the volume whose place in this pod is `path`: PODS/UID/volumes/KIND/NAME.
Result<bool> is_elsewhere(const std::string& path, const std::string& pod_folder) {
  auto mounts = sys::mounts_of("self");
  if (!mounts) return std::unexpected(std::move(mounts.error()));
  const std::string pods = pod_folder.substr(0, pod_folder.rfind('/') + 1);
  const std::string place = path.substr(pod_folder.size());
  return std::ranges::any_of(*mounts, [&](const sys::MountEntry& mount) {
    return mount.point != path && mount.point.starts_with(pods) && mount.point.ends_with(place);
  });
}

// A volume that somebody may only read stays as it is, and so does one that another pod has: as with kubelet its group
// is the first one's.
Status set_group(FdRef folder, const std::string& path, const core::Pod& pod, const std::string& pod_folder,
                 const Claimed& claimed) {
  const auto& security = pod.spec().security_context();
  if (!security.has_fs_group() || claimed.is_read_only) return {};
  auto elsewhere = is_elsewhere(path, pod_folder);
  if (!elsewhere) return std::unexpected(std::move(elsewhere.error()));
  if (*elsewhere) return {};
  return give_to_group(folder, static_cast<gid_t>(security.fs_group()),
                       security.fs_group_change_policy() == "OnRootMismatch" ? OwnershipChange::kOnRootMismatch
                                                                             : OwnershipChange::kAlways);
}

// Only once: a mount of a name is the volume's, as the folder is the pod's and only root's. It is the group's before it
// is there.
Status bind_volume(FdRef source, const std::string& path, const core::Pod& pod, const std::string& pod_folder,
                   const Claimed& claimed) {
  if (auto made = sys::make_folders(path, 0750); !made) return made;
  const auto slash = path.rfind('/');
  auto parent = sys::open_dir(sys::kCwd, path.substr(0, slash).c_str());
  if (!parent) return std::unexpected(std::move(parent.error()));
  auto mounted = is_mount_point(*parent, path.substr(slash + 1));
  if (!mounted) return std::unexpected(std::move(mounted.error()));
  if (*mounted) return {};
  if (auto set = set_group(source, path, pod, pod_folder, claimed); !set)
    return fail_with(std::move(set.error()), "fsGroup");
  auto mount = sys::clone_mount(source, "", sys::Recursive::kNo);
  if (!mount) return std::unexpected(std::move(mount.error()));
  auto target = sys::openat(*parent, path.c_str() + slash + 1, O_PATH | O_NOFOLLOW | O_DIRECTORY);
  if (!target) return std::unexpected(std::move(target.error()));
  return sys::attach(*mount, *target);
}

Result<Prepared> prepare_local(const core::Pod& pod, const Claimed& claimed, const std::string& pod_folder) {
  const core::PersistentVolume& volume = *claimed.volume;
  const std::string& path = volume.spec().persistent_volume_source().local().path();
  if (!path.starts_with('/')) return invalid_argument(absl::StrCat("path ", api::quoted(path), " is not absolute"));
  if (claimed.is_made_here) {
    if (auto made = make_local_folder(path); !made) return std::unexpected(std::move(made.error()));
  }
  auto place = sys::openat(sys::kCwd, path.c_str(), O_PATH);
  if (!place && place.error().is_not_found()) {
    return fail(Code::kFailedPrecondition, absl::StrCat("path ", api::quoted(path), " does not exist"));
  }
  if (!place) return std::unexpected(std::move(place.error()));
  auto info = sys::fstat(*place);
  if (!info) return std::unexpected(std::move(info.error()));
  if (volume.spec().volume_mode() == "Block") {
    if (S_ISBLK(info->st_mode)) return Prepared{.path = path, .is_device = true};
    return fail(Code::kFailedPrecondition, absl::StrCat("path ", api::quoted(path), " is no block device"));
  }
  if (!S_ISDIR(info->st_mode)) {
    return fail(Code::kFailedPrecondition,
                absl::StrCat("path ", api::quoted(path), " is no folder; block devices are not mounted by this node"));
  }
  std::string target = volume_folder(pod_folder, "local-volume", volume.metadata().name());
  if (auto bound = bind_volume(*place, target, pod, pod_folder, claimed); !bound)
    return std::unexpected(std::move(bound.error()));
  return Prepared{.path = std::move(target)};
}

}  // namespace

Result<Prepared> prepare_persistent(const core::Pod& pod, const Claimed& claimed, const std::string& pod_folder) {
  const auto& source = claimed.volume->spec().persistent_volume_source();
  Result<Prepared> prepared;
  if (source.has_local()) {
    prepared = prepare_local(pod, claimed, pod_folder);
  } else if (source.has_host_path() && claimed.volume->spec().volume_mode() != "Block") {
    if (auto done = prepare_host_path(source.host_path()); !done) return std::unexpected(std::move(done.error()));
    prepared = Prepared{.path = source.host_path().path()};
  } else {
    prepared =
        fail(Code::kUnimplemented, absl::StrCat("persistent volume ", api::quoted(claimed.volume->metadata().name()),
                                                ": this node has hostPath and local ones, and of block devices "
                                                "local ones"));
  }
  if (prepared) prepared->is_read_only = claimed.is_read_only;
  return prepared;
}

}  // namespace gantry::volumes
