// SPDX-License-Identifier: Apache-2.0
#include "base/owned_fd.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace gantry {

OwnFd::~OwnFd() {
  // Not retried: after EINTR the number is already free, and may be a stranger's.
  if (fd_ >= 0) ::close(fd_);
}

Result<OwnFd> duplicate(FdRef fd) {
  int copy = ::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3);
  if (copy < 0) return std::unexpected(Error::from_errno(errno, "fcntl F_DUPFD_CLOEXEC"));
  return OwnFd(copy);
}

Result<OwnFd> OwnFd::duplicate() const { return gantry::duplicate(ref()); }

}  // namespace gantry
