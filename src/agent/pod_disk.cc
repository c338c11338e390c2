// SPDX-License-Identifier: Apache-2.0
#include "agent/pod_disk.h"

#include <fcntl.h>

#include "agent/log_file.h"
#include "agent/pod_spec_to_cri.h"
#include "base/owned_fd.h"
#include "base/text.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "sys/file.h"
#include "volumes/config_volume.h"
#include "volumes/mount_point.h"
#include "volumes/prepare.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;

constexpr std::uint64_t kMaxEntries = 1'000'000;  // of a larger folder it is known that it is at least so large

struct Folder {
  OwnFd parent;
  std::string name;
  bool is_mount = false;
};

// What is mounted there is not touched: it may hang.
std::optional<Folder> look_at(OwnFd parent, std::string name) {
  auto mounted = volumes::is_mount_point(parent, name);
  if (!mounted) return std::nullopt;
  return Folder{std::move(parent), std::move(name), *mounted};
}

std::optional<Folder> find(const std::string& path) {
  const auto slash = path.rfind('/');
  auto parent = sys::open_dir(sys::kCwd, path.substr(0, slash).c_str());
  return parent ? look_at(std::move(*parent), path.substr(slash + 1)) : std::nullopt;
}

std::optional<sys::DiskUsage> walk(const Folder& folder) {
  auto usage = sys::disk_usage(folder.parent, folder.name.c_str(), kMaxEntries);
  if (!usage) return std::nullopt;
  return *usage;
}

std::optional<sys::DiskUsage> usage_of(const std::optional<Folder>& folder) {
  return folder && !folder->is_mount ? walk(*folder) : std::nullopt;
}

std::optional<VolumeDisk> read_memory(const Folder& folder) {
  auto root = sys::openat(folder.parent, folder.name.c_str(), O_PATH | O_NOFOLLOW);
  if (!root) return std::nullopt;
  auto info = sys::fstatfs(*root);
  if (!info) return std::nullopt;
  const auto block = static_cast<std::uint64_t>(info->f_frsize);
  VolumeDisk disk;
  disk.usage = {.bytes = (info->f_blocks - info->f_bfree) * block, .inodes = info->f_files - info->f_ffree};
  disk.memory = VolumeDisk::Memory{info->f_blocks * block, info->f_bavail * block, info->f_files, info->f_ffree};
  return disk;
}

std::optional<VolumeDisk> read_volume(const core::Volume& volume, const std::string& pod_folder) {
  std::string path;
  if (volume.volume_source().has_empty_dir()) path = volumes::volume_folder(pod_folder, "empty-dir", volume.name());
  if (volumes::is_config_volume(volume)) path = volumes::config_volume_path(volume, pod_folder);
  if (path.empty()) return std::nullopt;
  const auto folder = find(path);
  if (!folder) return std::nullopt;
  std::optional<VolumeDisk> disk;
  if (folder->is_mount) {
    // On an emptyDir of the disk's it is somebody else's.
    if (volume.volume_source().has_empty_dir() && volume.volume_source().empty_dir().medium().empty()) {
      return std::nullopt;
    }
    disk = read_memory(*folder);
  } else if (auto usage = walk(*folder)) {
    disk = VolumeDisk{.usage = *usage};
  }
  if (disk) disk->name = volume.name();
  return disk;
}

}  // namespace

PodDisk read_pod_disk(const PodDiskFolders& folders, const core::Pod& pod, const std::string& uid) {
  PodDisk disk;
  const auto& metadata = pod.metadata();
  const std::string logs =
      cat(folders.pod_logs_dir, "/", pod_log_folder_name(metadata.namespace_(), metadata.name(), uid), "/");
  const auto add_log = [&](const auto& container) {
    auto log = find_log(folders.pod_logs_dir, logs + container.name());
    if (!log) return;
    if (auto usage = usage_of(look_at(std::move(log->folder), log->name))) {
      disk.logs.emplace(container.name(), *usage);
    }
  };
  for (const auto& container : pod.spec().init_containers()) add_log(container);
  for (const auto& container : pod.spec().containers()) add_log(container);
  for (const auto& container : pod.spec().ephemeral_containers()) add_log(container.ephemeral_container_common());
  const std::string folder = cat(folders.root_dir, "/pods/", uid);
  // As pod_folders.h has them.
  if (auto hosts = sys::fstatat(sys::kCwd, (folder + "/etc-hosts").c_str(), AT_SYMLINK_NOFOLLOW)) {
    disk.files += static_cast<std::uint64_t>(hosts->st_blocks) * 512;
  }
  if (auto words = usage_of(find(folder + "/containers"))) disk.files += words->bytes;
  for (const auto& volume : pod.spec().volumes()) {
    if (auto read = read_volume(volume, folder)) disk.volumes.push_back(std::move(*read));
  }
  return disk;
}

}  // namespace gantry::agent
