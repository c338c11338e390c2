// SPDX-License-Identifier: Apache-2.0
#include "shim/poller.h"

#include <cerrno>

namespace gantry::shim {
namespace {

Status control(FdRef epoll, int operation, FdRef fd, std::uint32_t events, Source* source) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = source;
  if (::epoll_ctl(epoll.get(), operation, fd.get(), &event) < 0)
    return std::unexpected(Error::from_errno(errno, "epoll_ctl"));
  return {};
}

}  // namespace

Result<Poller> Poller::make() {
  OwnFd fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!fd.is_open()) return std::unexpected(Error::from_errno(errno, "epoll_create1"));
  return Poller(std::move(fd));
}

Status Poller::add(FdRef fd, std::uint32_t events, Source& source) {
  return control(fd_, EPOLL_CTL_ADD, fd, events, &source);
}
Status Poller::change(FdRef fd, std::uint32_t events, Source& source) {
  return control(fd_, EPOLL_CTL_MOD, fd, events, &source);
}
void Poller::remove(FdRef fd) { (void)control(fd_, EPOLL_CTL_DEL, fd, 0, nullptr); }

void Poller::wait(int limit_ms) {
  // One at a time: a source may end others, and an event that was fetched for one of them would name freed memory.
  epoll_event event;
  if (::epoll_wait(fd_.get(), &event, 1, limit_ms) == 1) static_cast<Source*>(event.data.ptr)->on_ready(event.events);
}

}  // namespace gantry::shim
