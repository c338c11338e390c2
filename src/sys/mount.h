// SPDX-License-Identifier: Apache-2.0
// The mount API by descriptor (Linux 5.2 to 5.12; fsopen(2), open_tree(2), move_mount(2), mount_setattr(2)). A mount is
// built detached, given its attributes, and attached last, so that no half-configured mount is ever visible; one that
// is not attached dies with its descriptor. A refusal carries the kernel's own words, read from the context.
#pragma once

#include <linux/mount.h>
#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/owned_fd.h"
#include "base/result.h"
#include "sys/flags.h"

namespace gantry::sys {

// MOUNT_ATTR_*: attributes of one mount.
enum class MountAttr : std::uint64_t {
  kNone = 0,
  kReadOnly = MOUNT_ATTR_RDONLY,
  kNoSuid = MOUNT_ATTR_NOSUID,
  kNoDev = MOUNT_ATTR_NODEV,
  kNoExec = MOUNT_ATTR_NOEXEC,
  kNoAtime = MOUNT_ATTR_NOATIME,
  kStrictAtime = MOUNT_ATTR_STRICTATIME,
  kNoDirAtime = MOUNT_ATTR_NODIRATIME,
  kNoSymFollow = MOUNT_ATTR_NOSYMFOLLOW,
};
template <>
struct IsFlagSpace<MountAttr> : std::true_type {};

// MS_PRIVATE and its kin, as mount_setattr takes them.
enum class Propagation : std::uint64_t {
  kUnchanged = 0,
  kUnbindable = 1UL << 17,
  kPrivate = 1UL << 18,
  kSlave = 1UL << 19,
  kShared = 1UL << 20
};

enum class Recursive : bool { kNo = false, kYes = true };

// A file system being configured: open, set, create, mount.
class FsContext {
 public:
  static Result<FsContext> open(const char* type);
  Status set(const char* key, const char* value);
  Status set_flag(const char* key);
  Status set_fd(const char* key, FdRef fd);
  // Makes the superblock. Nothing can be set after it.
  Status create();
  Result<MountFd> mount(MountAttr attributes);

 private:
  FsContext(OwnFd fd, const char* type) : fd_(std::move(fd)), type_(type) {}
  std::unexpected<Error> failed(int error, const char* call, const char* key);
  OwnFd fd_;
  const char* type_;
};

// open_tree(2) with OPEN_TREE_CLONE: a detached copy of the mount at `path` below `dir`; "" with a descriptor means
// that place itself.
Result<MountFd> clone_mount(FdRef dir, const char* path, Recursive recursive);
// mount_setattr(2). `clear` takes attributes away that the copy inherited.
Status set_attributes(FdRef mount, const char* path, MountAttr set, MountAttr clear, Propagation propagation,
                      Recursive recursive);
// MOUNT_ATTR_IDMAP (Linux 5.12), of a detached mount that has no mapping yet: ids of its files are mapped as the user
// namespace maps its own. EINVAL from a file system that can't.
Status map_ids(FdRef mount, FdRef user_namespace, Recursive recursive);
// move_mount(2): attaches a detached mount on the place that `target` is (a descriptor of a folder or file).
Status attach(FdRef mount, FdRef target);

// The id of the mount that `place` is on, as statx(2) has it (Linux 5.8): no other mount's for as long as this one is.
Result<std::uint64_t> mount_id(FdRef place);

// mount(2), for overlay alone (layers by name, relative to the current folder) and for propagation changes.
Status mount(const char* source, const char* target, const char* type, unsigned long flags, const char* data);
Status umount2(const char* target, int flags);
Status pivot_root(const char* new_root, const char* put_old);
Status chroot(const char* path);

}  // namespace gantry::sys
