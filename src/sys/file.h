// SPDX-License-Identifier: Apache-2.0
// Files and folders, by descriptor. Same names and argument order as the man pages (section 2); descriptors are
// close-on- exec. A path that an image, a spec or a volume can influence goes through openat2 with Resolve::kInRoot or
// kBeneath.
#pragma once

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "sys/flags.h"

namespace gantry::sys {

enum class Resolve : std::uint64_t {
  kNone = 0,
  kBeneath = RESOLVE_BENEATH,
  kInRoot = RESOLVE_IN_ROOT,
  kNoMagicLinks = RESOLVE_NO_MAGICLINKS,
  kNoSymlinks = RESOLVE_NO_SYMLINKS,
  kNoXdev = RESOLVE_NO_XDEV,
};
template <>
struct IsFlagSpace<Resolve> : std::true_type {};

// The current directory, where a call takes a folder.
inline constexpr FdRef kCwd{AT_FDCWD};

// openat2(2), Linux 5.6. O_CLOEXEC is added. EAGAIN, which the kernel gives when a rename raced a ".." beneath the
// root, is retried a bounded number of times.
Result<OwnFd> openat2(FdRef dir, const char* path, int flags, Resolve resolve, mode_t mode = 0);
// openat(2) for paths of our own making. O_CLOEXEC is added.
Result<OwnFd> openat(FdRef dir, const char* path, int flags, mode_t mode = 0);
// A folder by a path of our own making, O_PATH.
Result<DirFd> open_dir(FdRef dir, const char* path);

Status mkdirat(FdRef dir, const char* path, mode_t mode);
Status mknodat(FdRef dir, const char* path, mode_t mode, dev_t device);
Status symlinkat(const char* target, FdRef dir, const char* path);
Status linkat(FdRef old_dir, const char* old_path, FdRef new_dir, const char* new_path, int flags);
Status unlinkat(FdRef dir, const char* path, int flags);
Status renameat2(FdRef old_dir, const char* old_path, FdRef new_dir, const char* new_path, unsigned flags);
Result<std::string> readlinkat(FdRef dir, const char* path);
Result<struct stat> fstat(FdRef fd);
Result<struct stat> fstatat(FdRef dir, const char* path, int flags);
Result<struct statfs> fstatfs(FdRef fd);
Status fchmod(FdRef fd, mode_t mode);
Status fchown(FdRef fd, uid_t uid, gid_t gid);
Status fchownat(FdRef dir, const char* path, uid_t uid, gid_t gid, int flags);
Status ftruncate(FdRef fd, off_t size);
Status fsync(FdRef fd);
Status syncfs(FdRef fd);
Status fchdir(FdRef fd);

// One read(2), one write(2); EINTR is retried. 0 from read is the end.
Result<std::size_t> read(FdRef fd, void* buffer, std::size_t size);
Result<std::size_t> write(FdRef fd, const void* buffer, std::size_t size);
// Writes all of it, or fails.
Status write_all(FdRef fd, std::string_view bytes);
// One pread(2), and as many pwrite(2) as all of it takes: at an offset, whoever else moves the file's own.
Result<std::size_t> pread(FdRef fd, void* buffer, std::size_t size, std::uint64_t offset);
Status pwrite_all(FdRef fd, std::string_view bytes, std::uint64_t offset);
// Reads to the end. More than `limit` bytes is kResourceExhausted and names the limit; nothing is truncated silently.
Result<std::string> read_all(FdRef fd, std::size_t limit);
// Opens a file below a folder (O_RDONLY, not following a last symlink) and reads it whole.
Result<std::string> read_file(FdRef dir, const char* path, std::size_t limit);
// Writes a file that exists (of cgroupfs or procfs) in one write(2), as those file systems want it.
Status write_file(FdRef dir, const char* path, std::string_view bytes);

// Names in a folder but "." and "..", in the order of the file system. `dir` is opened anew, so O_PATH will do. For
// folders whose size is ours or the kernel's to decide; dir_reader.h has others.
Result<std::vector<std::string>> list_dir(FdRef dir);

// memfd_create(2) with these bytes in it, to be read from their beginning.
Result<OwnFd> memfd_of(const char* name, std::string_view bytes);

// memfd_create(2) with what is read from `source` in it, executable and sealed against any change: how our own programs
// are kept from being written through /proc/PID/exe of a copy.
Result<OwnFd> sealed_memfd(const char* name, FdRef source);

// Removes a folder's tree by descriptor: `name` beneath `dir` and all below. Never follows a link and never crosses
// into a mount: anything mounted beneath makes it stop with kFailedPrecondition before that mount. A name that is not
// there is fine. A tree of any depth and size is removed with less than a hundred descriptors and a bounded number of
// names in memory; what lies deeper than that is moved up into `name` on the way.
Status remove_tree(FdRef dir, const char* name);

}  // namespace gantry::sys
