// SPDX-License-Identifier: Apache-2.0
#include "proxy/dns/poller.h"

#include <cerrno>
#include <utility>

namespace gantry::dns {
namespace {

// A number is given to another descriptor as soon as it is free: events that were under way are told by the token.
std::uint64_t pack(int fd, std::uint64_t token) { return token << 32 | static_cast<std::uint32_t>(fd); }

}  // namespace

Result<Poller> Poller::make() {
  OwnFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.is_open()) return std::unexpected(Error::from_errno(errno, "epoll_create1"));
  return Poller(std::move(epoll));
}

Status Poller::add(FdRef fd, std::uint32_t events, Ready ready) {
  const std::uint64_t token = ++last_token_ & 0xffffffff;
  epoll_event event{.events = events, .data = {.u64 = pack(fd.get(), token)}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &event) < 0) {
    return std::unexpected(Error::from_errno(errno, "epoll_ctl EPOLL_CTL_ADD"));
  }
  members_.insert_or_assign(fd.get(), Member{token, std::make_shared<Ready>(std::move(ready))});
  return {};
}

void Poller::change(FdRef fd, std::uint32_t events) {
  auto found = members_.find(fd.get());
  if (found == members_.end()) return;
  epoll_event event{.events = events, .data = {.u64 = pack(fd.get(), found->second.token)}};
  (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd.get(), &event);
}

void Poller::remove(FdRef fd) {
  if (members_.erase(fd.get()) != 0) (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd.get(), nullptr);
}

void Poller::wait(int milliseconds) {
  epoll_event events[64];
  const int count = ::epoll_wait(epoll_.get(), events, std::size(events), milliseconds);
  for (int i = 0; i < count; ++i) {
    auto found = members_.find(static_cast<int>(events[i].data.u64 & 0xffffffff));
    if (found == members_.end() || found->second.token != events[i].data.u64 >> 32) continue;
    // Held: it may remove itself.
    const std::shared_ptr<Ready> ready = found->second.ready;
    (*ready)(events[i].events);
  }
}

}  // namespace gantry::dns
