// SPDX-License-Identifier: Apache-2.0
#include "sys/epoll.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

namespace gantry::sys {

Result<OwnFd> epoll_create() {
  int fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) return std::unexpected(Error::from_errno(errno, "epoll_create1"));
  return OwnFd(fd);
}

Status epoll_add(FdRef epoll, FdRef member, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = member.get();
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, member.get(), &event) == 0) return {};
  return std::unexpected(Error::from_errno(errno, "epoll_ctl"));
}

Result<OwnFd> timer_fd(std::chrono::nanoseconds delay) {
  OwnFd fd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!fd.is_open()) return std::unexpected(Error::from_errno(errno, "timerfd_create"));
  auto count = std::max<std::chrono::nanoseconds::rep>(delay.count(), 1);
  itimerspec when{};
  when.it_value.tv_sec = count / 1'000'000'000;
  when.it_value.tv_nsec = count % 1'000'000'000;
  if (::timerfd_settime(fd.get(), 0, &when, nullptr) < 0) {
    return std::unexpected(Error::from_errno(errno, "timerfd_settime"));
  }
  return fd;
}

Result<std::size_t> pread_start(FdRef fd, void* buffer, std::size_t size) {
  for (;;) {
    ssize_t count = ::pread(fd.get(), buffer, size, 0);
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno != EINTR) return std::unexpected(Error::from_errno(errno, "pread"));
  }
}

}  // namespace gantry::sys
