// SPDX-License-Identifier: Apache-2.0
#include "sys/pidfd.h"

#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace gantry::sys {

Result<OwnFd> pidfd_getfd(FdRef pidfd, int number) {
  auto fd = static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd.get(), number, 0));
  if (fd < 0) return std::unexpected(Error::from_errno(errno, "pidfd_getfd"));
  return OwnFd(fd);
}

Result<OwnFd> pid_namespace_of(FdRef pidfd) {
  constexpr unsigned long kGetPidNamespace = _IO(0xFF, 5);  // not in Debian 12's headers
  int fd = ::ioctl(pidfd.get(), kGetPidNamespace, 0);
  if (fd < 0) return std::unexpected(Error::from_errno(errno, "ioctl PIDFD_GET_PID_NAMESPACE"));
  return OwnFd(fd);
}

}  // namespace gantry::sys
