// SPDX-License-Identifier: Apache-2.0
#include "sys/seccomp.h"

#include <linux/seccomp.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <string>

#include "sys/file.h"

namespace gantry::sys {

bool is_seccomp_listener(FdRef fd) {
  auto name = readlinkat(kCwd, ("/proc/self/fd/" + std::to_string(fd.get())).c_str());
  return name && *name == "anon_inode:seccomp notify";
}

Status let_call_go_on(FdRef listener) {
  seccomp_notif call{};
  if (::ioctl(listener.get(), SECCOMP_IOCTL_NOTIF_RECV, &call) < 0)
    return std::unexpected(Error::from_errno(errno, "ioctl SECCOMP_IOCTL_NOTIF_RECV"));
  seccomp_notif_resp answer{};
  answer.id = call.id;
  answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  if (::ioctl(listener.get(), SECCOMP_IOCTL_NOTIF_SEND, &answer) < 0)
    return std::unexpected(Error::from_errno(errno, "ioctl SECCOMP_IOCTL_NOTIF_SEND"));
  return {};
}

}  // namespace gantry::sys
