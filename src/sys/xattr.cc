// SPDX-License-Identifier: Apache-2.0
#include "sys/xattr.h"

#include <sys/stat.h>
#include <sys/xattr.h>

#include <cerrno>

namespace gantry::sys {
namespace {

constexpr std::size_t kMaxXattr = 65536;

std::unexpected<Error> failed(const char* call, const char* name = nullptr) {
  int error = errno;
  std::string what(call);
  if (name != nullptr) what.append(" ").append(name);
  return std::unexpected(Error::from_errno(error, what));
}

}  // namespace

Status fsetxattr(FdRef fd, const char* name, std::string_view value) {
  if (::fsetxattr(fd.get(), name, value.data(), value.size(), 0) < 0) return failed("fsetxattr", name);
  return {};
}

Result<std::optional<std::string>> fgetxattr(FdRef fd, const char* name) {
  std::string value(256, '\0');
  ssize_t size = ::fgetxattr(fd.get(), name, value.data(), value.size());
  if (size < 0 && errno == ERANGE) {
    value.resize(kMaxXattr);
    size = ::fgetxattr(fd.get(), name, value.data(), value.size());
  }
  if (size < 0) {
    if (errno == ENODATA || errno == EOPNOTSUPP) return std::optional<std::string>();
    return failed("fgetxattr", name);
  }
  value.resize(static_cast<std::size_t>(size));
  return std::optional(std::move(value));
}

Result<std::string> flistxattr(FdRef fd) {
  std::string names(kMaxXattr, '\0');
  ssize_t size = ::flistxattr(fd.get(), names.data(), names.size());
  if (size < 0) {
    if (errno == EOPNOTSUPP) return std::string();
    return failed("flistxattr");
  }
  names.resize(static_cast<std::size_t>(size));
  return names;
}

Status futimens(FdRef fd, const timespec& access, const timespec& modification) {
  const timespec times[2] = {access, modification};
  if (::futimens(fd.get(), times) < 0) return failed("futimens");
  return {};
}

Status utimensat(FdRef dir, const char* path, const timespec& access, const timespec& modification, int flags) {
  const timespec times[2] = {access, modification};
  if (::utimensat(dir.get(), path, times, flags) < 0) return failed("utimensat", path);
  return {};
}

}  // namespace gantry::sys
