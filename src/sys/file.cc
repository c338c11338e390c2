// SPDX-License-Identifier: Apache-2.0
#include "sys/file.h"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace gantry::sys {
namespace {

std::unexpected<Error> failed(const char* call, const char* path) {
  int error = errno;
  std::string what(call);
  if (path != nullptr && *path != '\0') what.append(" ").append(path);
  return std::unexpected(Error::from_errno(error, what));
}

Status checked(int result, const char* call, const char* path = nullptr) {
  if (result < 0) return failed(call, path);
  return {};
}

}  // namespace

Result<OwnFd> openat2(FdRef dir, const char* path, int flags, Resolve resolve, mode_t mode) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags) | O_CLOEXEC;
  how.mode = mode;
  how.resolve = raw(resolve);
  for (int attempt = 0;; ++attempt) {
    long fd = ::syscall(SYS_openat2, dir.get(), path, &how, sizeof(how));
    if (fd >= 0) return OwnFd(static_cast<int>(fd));
    if ((errno == EAGAIN && attempt < 64) || errno == EINTR) continue;
    return failed("openat2", path);
  }
}

Result<OwnFd> openat(FdRef dir, const char* path, int flags, mode_t mode) {
  int fd = ::openat(dir.get(), path, flags | O_CLOEXEC, mode);
  if (fd < 0) return failed("openat", path);
  return OwnFd(fd);
}

Result<DirFd> open_dir(FdRef dir, const char* path) {
  auto fd = openat(dir, path, O_PATH | O_DIRECTORY);
  if (!fd) return std::unexpected(std::move(fd.error()));
  return DirFd(std::move(*fd));
}

Status mkdirat(FdRef dir, const char* path, mode_t mode) {
  return checked(::mkdirat(dir.get(), path, mode), "mkdirat", path);
}
Status mknodat(FdRef dir, const char* path, mode_t mode, dev_t device) {
  return checked(::mknodat(dir.get(), path, mode, device), "mknodat", path);
}
Status symlinkat(const char* target, FdRef dir, const char* path) {
  return checked(::symlinkat(target, dir.get(), path), "symlinkat", path);
}
Status linkat(FdRef old_dir, const char* old_path, FdRef new_dir, const char* new_path, int flags) {
  return checked(::linkat(old_dir.get(), old_path, new_dir.get(), new_path, flags), "linkat", new_path);
}
Status unlinkat(FdRef dir, const char* path, int flags) {
  return checked(::unlinkat(dir.get(), path, flags), "unlinkat", path);
}
Status renameat2(FdRef old_dir, const char* old_path, FdRef new_dir, const char* new_path, unsigned flags) {
  return checked(::renameat2(old_dir.get(), old_path, new_dir.get(), new_path, flags), "renameat2", new_path);
}

Result<std::string> readlinkat(FdRef dir, const char* path) {
  char target[4096];
  ssize_t size = ::readlinkat(dir.get(), path, target, sizeof(target));
  if (size < 0) return failed("readlinkat", path);
  if (size == sizeof(target))
    return invalid_argument(std::string("readlinkat ") + path + ": target of 4096 bytes or more");
  return std::string(target, static_cast<std::size_t>(size));
}

Result<struct stat> fstat(FdRef fd) {
  struct stat value;
  if (::fstat(fd.get(), &value) < 0) return failed("fstat", nullptr);
  return value;
}
Result<struct stat> fstatat(FdRef dir, const char* path, int flags) {
  struct stat value;
  if (::fstatat(dir.get(), path, &value, flags) < 0) return failed("fstatat", path);
  return value;
}
Result<struct statfs> fstatfs(FdRef fd) {
  struct statfs value;
  if (::fstatfs(fd.get(), &value) < 0) return failed("fstatfs", nullptr);
  return value;
}

Status fchmod(FdRef fd, mode_t mode) { return checked(::fchmod(fd.get(), mode), "fchmod"); }
Status fchown(FdRef fd, uid_t uid, gid_t gid) { return checked(::fchown(fd.get(), uid, gid), "fchown"); }
Status fchownat(FdRef dir, const char* path, uid_t uid, gid_t gid, int flags) {
  return checked(::fchownat(dir.get(), path, uid, gid, flags), "fchownat", path);
}
Status ftruncate(FdRef fd, off_t size) { return checked(::ftruncate(fd.get(), size), "ftruncate"); }
Status fsync(FdRef fd) { return checked(::fsync(fd.get()), "fsync"); }
Status syncfs(FdRef fd) { return checked(::syncfs(fd.get()), "syncfs"); }
Status fchdir(FdRef fd) { return checked(::fchdir(fd.get()), "fchdir"); }

Result<std::size_t> read(FdRef fd, void* buffer, std::size_t size) {
  for (;;) {
    ssize_t count = ::read(fd.get(), buffer, size);
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno != EINTR) return failed("read", nullptr);
  }
}

Result<std::size_t> write(FdRef fd, const void* buffer, std::size_t size) {
  for (;;) {
    ssize_t count = ::write(fd.get(), buffer, size);
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno != EINTR) return failed("write", nullptr);
  }
}

Status write_all(FdRef fd, std::string_view bytes) {
  while (!bytes.empty()) {
    auto count = write(fd, bytes.data(), bytes.size());
    if (!count) return std::unexpected(std::move(count.error()));
    bytes.remove_prefix(*count);
  }
  return {};
}

Result<std::size_t> pread(FdRef fd, void* buffer, std::size_t size, std::uint64_t offset) {
  ssize_t count = 0;
  do count = ::pread(fd.get(), buffer, size, static_cast<off_t>(offset));
  while (count < 0 && errno == EINTR);
  if (count < 0) return failed("pread", nullptr);
  return static_cast<std::size_t>(count);
}

Status pwrite_all(FdRef fd, std::string_view bytes, std::uint64_t offset) {
  while (!bytes.empty()) {
    ssize_t count = ::pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failed("pwrite", nullptr);
    bytes.remove_prefix(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  return {};
}

Result<std::string> read_all(FdRef fd, std::size_t limit) {
  std::string bytes;
  for (;;) {
    std::size_t old = bytes.size();
    std::size_t room = std::min<std::size_t>(limit + 1 - old, old < 4096 ? 4096 : old);
    bytes.resize(old + room);
    auto count = read(fd, bytes.data() + old, room);
    if (!count) return std::unexpected(std::move(count.error()));
    bytes.resize(old + *count);
    if (*count == 0) return bytes;
    if (bytes.size() > limit) {
      return fail(Code::kResourceExhausted, "more than the " + std::to_string(limit) + " bytes that are allowed");
    }
  }
}

Result<std::string> read_file(FdRef dir, const char* path, std::size_t limit) {
  auto fd = openat(dir, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!fd) return std::unexpected(std::move(fd.error()));
  auto bytes = read_all(*fd, limit);
  if (!bytes) return fail_with(std::move(bytes.error()), path);
  return bytes;
}

Status write_file(FdRef dir, const char* path, std::string_view bytes) {
  auto fd = openat(dir, path, O_WRONLY | O_NOFOLLOW);
  if (!fd) return std::unexpected(std::move(fd.error()));
  auto count = write(*fd, bytes.data(), bytes.size());
  if (!count) {
    std::string what = "write \"";
    what.append(bytes.substr(0, 64)).append("\" to ").append(path);
    return std::unexpected(Error::from_errno(count.error().sys(), what));
  }
  return {};
}

Result<OwnFd> memfd_of(const char* name, std::string_view bytes) {
  OwnFd fd(::memfd_create(name, MFD_CLOEXEC));
  if (!fd.is_open()) return failed("memfd_create", name);
  if (auto s = write_all(fd, bytes); !s) return std::unexpected(std::move(s.error()));
  if (::lseek(fd.get(), 0, SEEK_SET) < 0) return failed("lseek", name);
  return fd;
}

Result<OwnFd> sealed_memfd(const char* name, FdRef source) {
  // MFD_EXEC (Linux 6.3) says what the default is before it; a kernel that does not know the flag answers EINVAL.
  constexpr unsigned kExec = 0x0010U;
  int raw_fd = ::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | kExec);
  if (raw_fd < 0 && errno == EINVAL) raw_fd = ::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (raw_fd < 0) return failed("memfd_create", name);
  OwnFd fd(raw_fd);
  auto info = fstat(source);
  if (!info) return std::unexpected(std::move(info.error()));
  off_t offset = 0;
  while (offset < info->st_size) {
    ssize_t count = ::sendfile(fd.get(), source.get(), &offset, static_cast<std::size_t>(info->st_size - offset));
    if (count <= 0) return failed("sendfile", name);
  }
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0) {
    return failed("fcntl F_ADD_SEALS", name);
  }
  return fd;
}

}  // namespace gantry::sys
