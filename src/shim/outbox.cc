// SPDX-License-Identifier: Apache-2.0
#include "shim/outbox.h"

#include <sys/epoll.h>

#include <utility>

#include "sys/socket.h"

namespace gantry::shim {

Status Outbox::send(FdRef socket, std::string packet, std::vector<OwnFd> fds) {
  bytes_ += sizeof(Letter) + packet.size();
  letters_.push_back({std::move(packet), std::move(fds)});
  return flush(socket);
}

Status Outbox::flush(FdRef socket) {
  while (!letters_.empty()) {
    const Letter& letter = letters_.front();
    std::vector<FdRef> fds(letter.fds.begin(), letter.fds.end());
    auto sent = sys::send_packet(socket, letter.packet, fds);
    if (!sent && (sent.error().is_would_block() || sent.error().is_resource())) break;
    if (!sent) return sent;
    bytes_ -= sizeof(Letter) + letter.packet.size();
    letters_.pop_front();
  }
  return {};
}

std::optional<std::uint32_t> Outbox::new_events() {
  if (letters_.empty() != waits_) return std::nullopt;
  waits_ = !waits_;
  return waits_ ? EPOLLIN | EPOLLOUT : EPOLLIN;
}

}  // namespace gantry::shim
