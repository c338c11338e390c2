// SPDX-License-Identifier: Apache-2.0
#include "sys/mount.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace gantry::sys {
namespace {

std::unexpected<Error> call_failed(const char* call, const char* what) {
  int error = errno;
  std::string text(call);
  if (what != nullptr && *what != '\0') text.append(" ").append(what);
  return std::unexpected(Error::from_errno(error, text));
}

Status checked(long result, const char* call, const char* what) {
  if (result < 0) return call_failed(call, what);
  return {};
}

}  // namespace

Result<FsContext> FsContext::open(const char* type) {
  long fd = ::syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
  if (fd < 0) return call_failed("fsopen", type);
  return FsContext(OwnFd(static_cast<int>(fd)), type);
}

std::unexpected<Error> FsContext::failed(int error, const char* call, const char* key) {
  std::string what(call);
  what.append(" ").append(type_);
  if (key != nullptr) what.append(" ").append(key);
  // Each read gives one line of the kernel's log of this context ("e Unknown parameter"); ENODATA ends it.
  char line[256];
  for (int i = 0; i < 8; ++i) {
    ssize_t size = ::read(fd_.get(), line, sizeof(line));
    if (size <= 0) break;
    while (size > 0 && line[size - 1] == '\n') --size;
    what.append(" (").append(line, static_cast<std::size_t>(size)).append(")");
  }
  return std::unexpected(Error::from_errno(error, what));
}

Status FsContext::set(const char* key, const char* value) {
  if (::syscall(SYS_fsconfig, fd_.get(), FSCONFIG_SET_STRING, key, value, 0) < 0) return failed(errno, "fsconfig", key);
  return {};
}
Status FsContext::set_flag(const char* key) {
  if (::syscall(SYS_fsconfig, fd_.get(), FSCONFIG_SET_FLAG, key, nullptr, 0) < 0) return failed(errno, "fsconfig", key);
  return {};
}
Status FsContext::set_fd(const char* key, FdRef fd) {
  if (::syscall(SYS_fsconfig, fd_.get(), FSCONFIG_SET_FD, key, nullptr, fd.get()) < 0)
    return failed(errno, "fsconfig", key);
  return {};
}
Status FsContext::create() {
  if (::syscall(SYS_fsconfig, fd_.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) < 0) {
    return failed(errno, "fsconfig create", nullptr);
  }
  return {};
}
Result<MountFd> FsContext::mount(MountAttr attributes) {
  long fd = ::syscall(SYS_fsmount, fd_.get(), FSMOUNT_CLOEXEC, static_cast<unsigned>(raw(attributes)));
  if (fd < 0) return failed(errno, "fsmount", nullptr);
  return MountFd(static_cast<int>(fd));
}

Result<MountFd> clone_mount(FdRef dir, const char* path, Recursive recursive) {
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
  if (recursive == Recursive::kYes) flags |= AT_RECURSIVE;
  long fd = ::syscall(SYS_open_tree, dir.get(), path, flags);
  if (fd < 0) return call_failed("open_tree", path);
  return MountFd(static_cast<int>(fd));
}

Status set_attributes(FdRef mount, const char* path, MountAttr set, MountAttr clear, Propagation propagation,
                      Recursive recursive) {
  mount_attr attr{};
  attr.attr_set = raw(set);
  attr.attr_clr = raw(clear);
  // The atime modes are one field: setting any of them wants the whole field cleared first.
  if (has(set, MountAttr::kNoAtime) || has(set, MountAttr::kStrictAtime)) attr.attr_clr |= MOUNT_ATTR__ATIME;
  attr.propagation = static_cast<std::uint64_t>(propagation);
  unsigned flags = AT_EMPTY_PATH | (recursive == Recursive::kYes ? AT_RECURSIVE : 0);
  return checked(::syscall(SYS_mount_setattr, mount.get(), path, flags, &attr, sizeof(attr)), "mount_setattr", path);
}

Status map_ids(FdRef mount, FdRef user_namespace, Recursive recursive) {
  mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_IDMAP;
  attr.userns_fd = static_cast<std::uint64_t>(user_namespace.get());
  unsigned flags = AT_EMPTY_PATH | (recursive == Recursive::kYes ? AT_RECURSIVE : 0);
  return checked(::syscall(SYS_mount_setattr, mount.get(), "", flags, &attr, sizeof(attr)), "mount_setattr", "idmap");
}

Status attach(FdRef mount, FdRef target) {
  return checked(
      ::syscall(SYS_move_mount, mount.get(), "", target.get(), "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH),
      "move_mount", nullptr);
}

Result<std::uint64_t> mount_id(FdRef place) {
  struct statx info;
  if (::statx(place.get(), "", AT_EMPTY_PATH, STATX_MNT_ID, &info) < 0) return call_failed("statx", nullptr);
  return info.stx_mnt_id;
}

Status mount(const char* source, const char* target, const char* type, unsigned long flags, const char* data) {
  return checked(::mount(source, target, type, flags, data), "mount", target);
}
Status umount2(const char* target, int flags) { return checked(::umount2(target, flags), "umount2", target); }
Status pivot_root(const char* new_root, const char* put_old) {
  return checked(::syscall(SYS_pivot_root, new_root, put_old), "pivot_root", new_root);
}
Status chroot(const char* path) { return checked(::chroot(path), "chroot", path); }

}  // namespace gantry::sys
