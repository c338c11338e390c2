// SPDX-License-Identifier: Apache-2.0
// The DNS worker's wait for its sockets: one epoll set, a callback each. The worker has no Loop: it is one thread, and
// what a packet costs is what counts.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::dns {

class Poller {
 public:
  using Ready = std::function<void(std::uint32_t events)>;

  static Result<Poller> make();
  // Level-triggered. Until remove() the descriptor must stay open.
  Status add(FdRef fd, std::uint32_t events, Ready ready);
  void change(FdRef fd, std::uint32_t events);
  void remove(FdRef fd);
  // Waits for at most `milliseconds` (-1: for ever) and calls whom something came for. A callback may remove any.
  void wait(int milliseconds);

 private:
  explicit Poller(OwnFd epoll) : epoll_(std::move(epoll)) {}
  struct Member {
    std::uint64_t token;
    std::shared_ptr<Ready> ready;
  };
  OwnFd epoll_;
  std::unordered_map<int, Member> members_;
  std::uint64_t last_token_ = 0;
};

}  // namespace gantry::dns
