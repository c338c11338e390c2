// SPDX-License-Identifier: Apache-2.0
// The shim's loop: epoll, and objects that are called when their descriptor is ready. Single-threaded; no timers but
// two (the log writer's, for a full disk, and the listener's, for want of a descriptor), no signals. A source may end
// itself or others while it is called.
#pragma once

#include <sys/epoll.h>

#include <cstdint>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::shim {

class Source {
 public:
  virtual ~Source() = default;
  // `events` is EPOLLIN and its kin.
  virtual void on_ready(std::uint32_t events) = 0;
};

class Poller {
 public:
  static Result<Poller> make();
  Status add(FdRef fd, std::uint32_t events, Source& source);
  Status change(FdRef fd, std::uint32_t events, Source& source);
  void remove(FdRef fd);
  // Waits for an event and calls its source; for `limit_ms` at most, unless that is -1.
  void wait(int limit_ms = -1);

 private:
  explicit Poller(OwnFd fd) : fd_(std::move(fd)) {}
  OwnFd fd_;
};

}  // namespace gantry::shim
