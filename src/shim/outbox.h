// SPDX-License-Identifier: Apache-2.0
// Packets for one peer of the shim, in order: what its socket does not take now is kept until it does. The owner has
// the socket, which is non-blocking, and a poller that tells it when to flush: while is_empty() is false, on EPOLLOUT.
#pragma once

#include <deque>
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

  bool is_empty() const { return letters_.empty(); }
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
};

}  // namespace gantry::shim
