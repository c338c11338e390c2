// SPDX-License-Identifier: Apache-2.0
#include "volumes/empty_dir.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "api/quantity.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "sys/file.h"
#include "sys/folders.h"
#include "volumes/memory_folder.h"
#include "volumes/prepare.h"

namespace gantry::volumes {
namespace {

namespace core = k8s::io::api::core::v1;

// 0777; with fsGroup owned by that group, which what is made in it inherits.
mode_t mode_of(const core::EmptyDirVolumeSource& source, const core::PodSecurityContext& security) {
  mode_t mode = source.has_mode() ? static_cast<mode_t>(source.mode()) & 07777 : 0777;
  return security.has_fs_group() ? mode | S_ISGID | 0070 : mode;
}

// Only once: what is there already is what the containers wrote into.
Status mount_tmpfs(FdRef parent, const core::Volume& volume, const core::PodSecurityContext& security) {
  const auto& source = volume.volume_source().empty_dir();
  MemoryFolder folder{.mode = mode_of(source, security)};
  if (security.has_fs_group()) folder.group = static_cast<gid_t>(security.fs_group());
  auto limit = api::Quantity::parse(source.size_limit().string());
  if (limit && limit->value() > 0) folder.size = static_cast<std::uint64_t>(limit->value());
  return mount_memory(parent, volume.name(), folder);
}

Status make(const std::string& parent_path, const core::Volume& volume, const core::PodSecurityContext& security) {
  if (auto made = sys::make_folders(parent_path, 0750); !made) return made;
  auto parent = sys::open_dir(sys::kCwd, parent_path.c_str());
  if (!parent) return std::unexpected(std::move(parent.error()));
  const auto& source = volume.volume_source().empty_dir();
  if (!sys::fstatat(*parent, volume.name().c_str(), AT_SYMLINK_NOFOLLOW)) {
    std::string fresh = absl::StrCat(".", volume.name(), ".new");  // no volume's name begins with a dot
    auto made = sys::mkdirat(*parent, fresh.c_str(), 0700);
    if (!made && !made.error().is_already_exists()) return made;
    auto dir = sys::openat(*parent, fresh.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!dir) return std::unexpected(std::move(dir.error()));
    if (security.has_fs_group()) {
      auto owned = sys::fchown(*dir, static_cast<uid_t>(-1), static_cast<gid_t>(security.fs_group()));
      if (!owned) return owned;
    }
    if (auto set = sys::fchmod(*dir, mode_of(source, security)); !set) return set;
    auto named = sys::renameat2(*parent, fresh.c_str(), *parent, volume.name().c_str(), 0);
    if (!named) return named;
  }
  return source.medium() == "Memory" ? mount_tmpfs(*parent, volume, security) : Status();
}

}  // namespace

Result<std::string> prepare_empty_dir(const core::Pod& pod, const core::Volume& volume, const std::string& pod_folder) {
  std::string path = volume_folder(pod_folder, "empty-dir", volume.name());
  auto made = make(path.substr(0, path.rfind('/')), volume, pod.spec().security_context());
  if (!made) return std::unexpected(std::move(made.error()));
  return path;
}

}  // namespace gantry::volumes
