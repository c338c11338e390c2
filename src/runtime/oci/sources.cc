// SPDX-License-Identifier: Apache-2.0
#include "runtime/oci/sources.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include "base/text.h"
#include "cgroups/hierarchy.h"
#include "runtime/oci/copy_up.h"
#include "runtime/oci/id_namespace.h"
#include "sys/dir_reader.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/process.h"
#include "sys/same_file.h"

namespace gantry::runtime::oci {

Result<OwnFd> open_namespace(const std::string& path) {
  auto file = sys::openat(sys::kCwd, path.c_str(), O_RDONLY);
  if (!file) return file;
  auto filesystem = sys::fstatfs(*file);
  if (!filesystem) return std::unexpected(std::move(filesystem.error()));
  if (filesystem->f_type != NSFS_MAGIC) return invalid_argument(cat(quoted(path), " is no file of a namespace"));
  return file;
}

namespace {

// To change one of these is to change the host.
Status check_not_own(FdRef space, const Source& source) {
  for (const char* own : {"/proc/self/ns/net", "/proc/self/ns/ipc", "/proc/self/ns/uts"}) {
    auto file = sys::openat(sys::kCwd, own, O_RDONLY);
    if (!file) return std::unexpected(std::move(file.error()));
    if (sys::is_same_file(*file, space))
      return invalid_argument(
          cat(quoted(source.path), " is the runtime's own: ", source.sets, " would change the host"));
  }
  return {};
}

bool is_of(FdRef proc, const std::string& pid, const struct stat& space) {
  auto info = sys::fstatat(proc, cat(pid, "/ns/pid").c_str(), 0);
  return info && sys::is_same_file(*info, space);
}

Result<PidFd> open_process(FdRef proc, const std::string& pid, const struct stat& space) {
  int number = 0;
  std::from_chars(pid.data(), pid.data() + pid.size(), number);
  auto pidfd = sys::pidfd_open(number);
  // Asked again, now that the number can't come to mean another process.
  if (!pidfd || is_of(proc, pid, space)) return pidfd;
  return not_found(cat("process ", pid, " has ended"));
}

Result<OwnFd> open_filesystem(const Source& source) {
  auto context = sys::FsContext::open(source.type.c_str());
  if (!context) return std::unexpected(std::move(context.error()));
  for (const std::string& option : source.options) {
    std::size_t equals = option.find('=');
    auto set = equals == std::string::npos
                   ? context->set_flag(option.c_str())
                   : context->set(option.substr(0, equals).c_str(), option.c_str() + equals + 1);
    if (!set) return std::unexpected(std::move(set.error()));
  }
  if (auto s = context->create(); !s) return std::unexpected(std::move(s.error()));
  auto mount = context->mount(static_cast<sys::MountAttr>(source.attributes));
  if (!mount) return std::unexpected(std::move(mount.error()));
  return OwnFd(std::move(*mount));
}

Status map_ids(FdRef mount, const Source& source) {
  auto space = user_namespace_of(source.ids);
  if (!space) return std::unexpected(std::move(space.error()));
  auto s = sys::map_ids(mount, *space, source.maps_ids_of_tree ? sys::Recursive::kYes : sys::Recursive::kNo);
  if (!s && s.error().sys() == EINVAL)
    return fail(Code::kFailedPrecondition, "the kernel maps no ids of its file system, or of one beneath it");
  return s;
}

Result<OwnFd> clone(FdRef bundle, const Source& source) {
  auto recursive = source.is_recursive ? sys::Recursive::kYes : sys::Recursive::kNo;
  auto mount = sys::clone_mount(bundle, source.path.c_str(), recursive);
  if (!mount) return std::unexpected(std::move(mount.error()));
  if (!source.ids.is_empty()) {
    if (auto s = map_ids(*mount, source); !s) return std::unexpected(std::move(s.error()));
  }
  return OwnFd(std::move(*mount));
}

template <typename Fd>
Result<OwnFd> as_own(Result<Fd> fd) {
  if (!fd) return std::unexpected(std::move(fd.error()));
  return OwnFd(std::move(*fd));
}

Result<OwnFd> clone_device(const Source& source, const DevicePlan& device) {
  auto mount = sys::clone_mount(sys::kCwd, source.path.c_str(), sys::Recursive::kNo);
  if (!mount) return fail_with(std::move(mount.error()), "the host's, which a user namespace takes");
  auto info = sys::fstat(*mount);
  if (!info) return std::unexpected(std::move(info.error()));
  bool is_same =
      (info->st_mode & S_IFMT) == (device.mode & S_IFMT) && info->st_rdev == makedev(device.major, device.minor);
  if (is_same) return OwnFd(std::move(*mount));
  return invalid_argument(
      cat("a user namespace takes the host's, which is not device ", device.major, ":", device.minor, " of this type"));
}

bool says_mode(const Source& source) {
  for (const std::string& option : source.options) {
    if (option.starts_with("mode=")) return true;
  }
  return false;
}

Result<OwnFd> open_source(FdRef bundle, const Source& source, Plan& plan) {
  switch (source.kind) {
    case Source::Kind::kNamespace: {
      auto space = open_namespace(source.path);
      if (!space || source.sets.empty()) return space;
      if (auto s = check_not_own(*space, source); !s) return std::unexpected(std::move(s.error()));
      return space;
    }
    case Source::Kind::kPidNamespace: {
      // Our own is nothing to join: a process is born there anyway.
      auto own = open_namespace("/proc/self/ns/pid"), wanted = open_namespace(source.path);
      if (own && wanted && sys::is_same_file(*own, *wanted)) plan.namespaces.join_pid = kNoFd;
      return as_own(process_in(source.path));
    }
    case Source::Kind::kHostCgroups:
      return as_own(cgroups::detached_hierarchy());
    case Source::Kind::kFilesystem:
      return open_filesystem(source);
    case Source::Kind::kDevice:
      return clone_device(source, plan.devices[source.mount]);
    case Source::Kind::kRoot:
    case Source::Kind::kBind:
      break;
  }
  auto mount = clone(bundle, source);
  if (!mount) return mount;
  auto info = sys::fstat(*mount);
  if (!info) return std::unexpected(std::move(info.error()));
  if (source.must_be_procfs) {
    auto filesystem = sys::fstatfs(*mount);
    constexpr ino_t kRootOfProcfs = 1;
    if (!filesystem || filesystem->f_type != PROC_SUPER_MAGIC || info->st_ino != kRootOfProcfs)
      return invalid_argument(cat(quoted(source.path), " is no procfs, and nothing else may be bound on /proc"));
  }
  if (source.kind == Source::Kind::kBind) {
    plan.mounts[source.mount].target_is_file = !S_ISDIR(info->st_mode);
  } else if (!S_ISDIR(info->st_mode)) {
    return invalid_argument(cat(quoted(source.path), " is no folder"));
  }
  return mount;
}

}  // namespace

Result<OwnFd> other_mount_namespace(const Linux& config) {
  const Namespace& space = config.of(NamespaceKind::kMount);
  if (space.is_new()) return OwnFd();
  auto file = open_namespace(space.path.empty() ? "/proc/self/ns/mnt" : space.path);
  return file ? std::move(file) : fail_with(std::move(file.error()), "linux.namespaces, the mount namespace");
}

Result<PidFd> process_in(const std::string& path) {
  auto space = open_namespace(path);
  if (!space) return std::unexpected(std::move(space.error()));
  auto info = sys::fstat(*space);
  if (!info) return std::unexpected(std::move(info.error()));
  auto proc = sys::open_dir(sys::kCwd, "/proc");
  if (!proc) return std::unexpected(std::move(proc.error()));
  // "/proc/PID/ns/pid"
  std::size_t end = path.find('/', 6);
  if (path.starts_with("/proc/") && end != std::string::npos) {
    std::string pid = path.substr(6, end - 6);
    if (pid.find_first_not_of("0123456789") == std::string::npos && is_of(*proc, pid, *info))
      return open_process(*proc, pid, *info);
  }
  auto reader = sys::DirReader::open(*proc);
  if (!reader) return std::unexpected(std::move(reader.error()));
  for (;;) {
    constexpr std::size_t kSome = 256;
    auto entries = reader->next(kSome);
    if (!entries) return std::unexpected(std::move(entries.error()));
    if (entries->empty()) return fail(Code::kFailedPrecondition, cat("in ", quoted(path), " is no process any more"));
    for (const auto& entry : *entries) {
      if (entry.name.find_first_not_of("0123456789") != std::string::npos || !is_of(*proc, entry.name, *info)) continue;
      if (auto found = open_process(*proc, entry.name, *info)) return found;
    }
  }
}

Result<std::vector<OwnFd>> open_sources(FdRef bundle, PlannedContainer& container) {
  std::vector<OwnFd> fds;
  fds.reserve(container.sources.size());
  for (const Source& source : container.sources) {
    auto fd = open_source(bundle, source, container.plan);
    if (!fd) return fail_with(std::move(fd.error()), source.field);
    if (source.copies_up) {
      FdRef root = fds[static_cast<std::size_t>(container.plan.root.rootfs)];
      const std::string& target = container.plan.mounts[source.mount].target;
      if (auto s = copy_up(root, target, *fd, !says_mode(source)); !s)
        return fail_with(std::move(s.error()), source.field);
    }
    // Of what was copied, too, whose ids are the image's.
    if (source.kind == Source::Kind::kFilesystem && !source.ids.is_empty()) {
      if (auto s = map_ids(*fd, source); !s) return fail_with(std::move(s.error()), source.field);
    }
    fds.push_back(std::move(*fd));
  }
  return fds;
}

}  // namespace gantry::runtime::oci
