// SPDX-License-Identifier: Apache-2.0
#include "sys/inotify.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace gantry::sys {

Result<OwnFd> inotify_init() {
  int fd = ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (fd < 0) return std::unexpected(Error::from_errno(errno, "inotify_init1"));
  return OwnFd(fd);
}

Result<int> inotify_add_watch(FdRef inotify, FdRef target, std::uint32_t mask) {
  std::string path = "/proc/self/fd/" + std::to_string(target.get());
  int watch = ::inotify_add_watch(inotify.get(), path.c_str(), mask);
  if (watch < 0) return std::unexpected(Error::from_errno(errno, "inotify_add_watch"));
  return watch;
}

void inotify_rm_watch(FdRef inotify, int watch) { (void)::inotify_rm_watch(inotify.get(), watch); }

Result<std::vector<InotifyEvent>> inotify_read(FdRef inotify) {
  std::vector<InotifyEvent> events;
  alignas(inotify_event) char buffer[16 * 1024];
  for (;;) {
    ssize_t size = ::read(inotify.get(), buffer, sizeof(buffer));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return events;
    if (size < 0) return std::unexpected(Error::from_errno(errno, "read inotify"));
    for (ssize_t at = 0; at < size;) {
      inotify_event head;
      std::memcpy(&head, buffer + at, sizeof(head));
      // The kernel pads the name with zeros.
      events.push_back({head.wd, head.mask, head.len == 0 ? std::string() : std::string(buffer + at + sizeof(head))});
      at += static_cast<ssize_t>(sizeof(head) + head.len);
    }
  }
}

}  // namespace gantry::sys
