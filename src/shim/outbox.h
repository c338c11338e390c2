// SPDX-License-Identifier: Apache-2.0
// Packets for one peer of the shim, in order: what its socket does not take now is kept until it does. The owner has
// the socket, which is non-blocking, and a poller that looks for EPOLLIN at first, then for new_events(); on EPOLLOUT
// it flushes.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::shim {

class Outbox {
 public:
  // Both fail only when the peer is gone or takes no such packet. Without memory for one it is kept, too, and sent
  // again at once: the kernel tells nobody that it has some.
  Status send(FdRef socket, std::string packet, std::vector<OwnFd> fds);
  Status flush(FdRef socket);

  // What the poller has to look for from now on, when that is another thing than before: a call for each message would
  // be one too many.
  std::optional<std::uint32_t> new_events();

  std::size_t size() const { return letters_.size(); }
  // The memory that they take, about.
  std::size_t bytes() const { return bytes_; }

 private:
  struct Letter {
    std::string packet;
    std::vector<OwnFd> fds;
  };
  std::deque<Letter> letters_;
  std::size_t bytes_ = 0;
  bool waits_ = false;  // as new_events() said last
};

}  // namespace gantry::shim
