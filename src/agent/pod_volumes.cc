// SPDX-License-Identifier: Apache-2.0
// emptyDir and hostPath, until there are volumes of more kinds.
#include <fcntl.h>
#include <sys/stat.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agent/folder_tools.h"
#include "agent/pod_folders.h"
#include "api/quantity.h"
#include "api/text.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "sys/file.h"
#include "sys/folders.h"
#include "sys/mount.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;

// ---- emptyDir

// 0777; with fsGroup owned by that group, which what is made in it inherits.
mode_t mode_of(const core::EmptyDirVolumeSource& source, const core::PodSecurityContext& security) {
  mode_t mode = source.has_mode() ? static_cast<mode_t>(source.mode()) & 07777 : 0777;
  return security.has_fs_group() ? mode | S_ISGID | 0070 : mode;
}

Result<MountFd> make_tmpfs(const core::EmptyDirVolumeSource& source, const core::PodSecurityContext& security) {
  auto context = sys::FsContext::open("tmpfs");
  if (!context) return std::unexpected(std::move(context.error()));
  std::vector<std::pair<const char*, std::string>> options{{"source", "tmpfs"}};
  options.emplace_back("mode", absl::StrFormat("%o", mode_of(source, security)));
  if (security.has_fs_group()) options.emplace_back("gid", absl::StrCat(security.fs_group()));
  auto limit = api::Quantity::parse(source.size_limit().string());
  if (limit && limit->value() > 0) options.emplace_back("size", absl::StrCat(limit->value()));
  for (const auto& [key, value] : options) {
    if (auto set = context->set(key, value.c_str()); !set) return std::unexpected(std::move(set.error()));
  }
  if (auto made = context->create(); !made) return std::unexpected(std::move(made.error()));
  return context->mount(sys::MountAttr::kNoSuid | sys::MountAttr::kNoDev);
}

// Only once: what is there already is what the containers wrote into.
Status mount_tmpfs(FdRef parent, const core::Volume& volume, const core::PodSecurityContext& security) {
  auto mounted = is_mount(parent, volume.name());
  if (!mounted) return std::unexpected(std::move(mounted.error()));
  if (*mounted) return {};
  auto tmpfs = make_tmpfs(volume.volume_source().empty_dir(), security);
  if (!tmpfs) return std::unexpected(std::move(tmpfs.error()));
  auto target = sys::openat(parent, volume.name().c_str(), O_PATH | O_NOFOLLOW | O_DIRECTORY);
  if (!target) return std::unexpected(std::move(target.error()));
  return sys::attach(*tmpfs, *target);
}

// It gets its name when it is as it should be, and is not touched after that: what containers changed of it is theirs.
Status make_empty_dir(const std::string& parent_path, const core::Volume& volume,
                      const core::PodSecurityContext& security) {
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

// ---- hostPath

std::string kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISREG(mode)) return "a file";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode)) return "a character device";
  if (S_ISBLK(mode)) return "a block device";
  return "of another kind";
}

bool is_of_type(const std::string& type, mode_t mode) {
  if (type == "Directory" || type == "DirectoryOrCreate") return S_ISDIR(mode);
  if (type == "File" || type == "FileOrCreate") return S_ISREG(mode);
  if (type == "Socket") return S_ISSOCK(mode);
  if (type == "CharDevice") return S_ISCHR(mode);
  return type == "BlockDevice" && S_ISBLK(mode);
}

Status prepare_host_path(const core::HostPathVolumeSource& source) {
  const std::string& path = source.path();
  const std::string& type = source.type();
  if (!path.starts_with('/'))
    return invalid_argument(absl::StrCat("hostPath.path ", api::quoted(path), ": give an absolute path"));
  if (type.empty()) return {};  // whatever is there; nothing becomes a folder when the container starts
  auto info = sys::fstatat(sys::kCwd, path.c_str(), 0);
  if (!info && info.error().is_not_found()) {
    if (type == "DirectoryOrCreate") return sys::make_folders(path, 0755);
    if (type == "FileOrCreate") {
      auto file = sys::openat(sys::kCwd, path.c_str(), O_WRONLY | O_CREAT | O_NOCTTY | O_NONBLOCK, 0644);
      return file ? Status() : Status(std::unexpected(std::move(file.error())));
    }
  }
  if (!info) return std::unexpected(std::move(info.error()));
  if (is_of_type(type, info->st_mode)) return {};
  return fail(Code::kFailedPrecondition, absl::StrCat("hostPath type check failed: ", path, " is ",
                                                      kind_of(info->st_mode), ", and type ", type, " was asked for"));
}

}  // namespace

Result<std::map<std::string, std::string>> PodFolders::prepare_volumes(const core::Pod& pod) const {
  std::map<std::string, std::string> paths;
  std::string parent = empty_dirs(pod.metadata().uid());
  for (const auto& volume : pod.spec().volumes()) {
    const auto& source = volume.volume_source();
    Status done;
    if (source.has_host_path()) {
      done = prepare_host_path(source.host_path());
      paths[volume.name()] = source.host_path().path();
    } else if (source.has_empty_dir()) {
      done = make_empty_dir(parent, volume, pod.spec().security_context());
      paths[volume.name()] = absl::StrCat(parent, "/", volume.name());
    } else {
      done = fail(Code::kUnimplemented, "is of a kind that is not supported yet; emptyDir and hostPath are");
    }
    if (!done) return fail_with(std::move(done.error()), absl::StrCat("volume ", api::quoted(volume.name())));
  }
  return paths;
}

}  // namespace gantry::agent
