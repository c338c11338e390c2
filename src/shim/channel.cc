// SPDX-License-Identifier: Apache-2.0
#include "shim/channel.h"

#include "base/text.h"
#include "sys/socket.h"

namespace gantry::shim {

Channel::Channel(Loop& loop, SocketFd socket, EventReceiver events, std::function<void()> ended)
    : loop_(loop),
      socket_(std::move(socket)),
      watch_(loop, socket_),
      events_(std::move(events)),
      ended_(std::move(ended)) {}

std::shared_ptr<Channel> Channel::open(Loop& loop, SocketFd socket, EventReceiver events, std::function<void()> ended) {
  auto channel = std::make_shared<Channel>(loop, std::move(socket), std::move(events), std::move(ended));
  loop.spawn(channel->read(channel));
  return channel;
}

Task<> Channel::read([[maybe_unused]] std::shared_ptr<Channel> self) {  // keeps this alive
  while (open_ && receive_all()) {
    if (!co_await watch_.readable()) break;
  }
  end();
  if (auto ended = std::move(ended_)) ended();
}

// What is there now; false when nothing will come any more. Not a part of read(), whose frame would hold the buffer for
// as long as the connection lives.
bool Channel::receive_all() {
  char packet[kMaxPacket];
  while (open_) {
    auto received = sys::receive_packet(socket_, packet);
    if (!received) return received.error().is_would_block();
    if (received->size == 0) return false;
    receive(std::string_view(packet, received->size), std::move(received->fds), received->fds_lost);
  }
  return false;
}

void Channel::receive(std::string_view packet, std::vector<OwnFd> fds, bool fds_lost) {
  auto message = decode_packet(packet);
  if (!message) return;
  if (message->header.request == 0) return events_(message->header.kind, message->body, std::move(fds));
  auto found = pending_.find(message->header.request);
  if (found == pending_.end()) return;  // whoever asked has gone
  auto pending = std::move(found->second);
  pending_.erase(found);
  if (message->header.kind == Kind::kFailed) {
    auto failed = decode<FailedAnswer>(message->body);
    pending->answer = failed ? Result<Answer>(fail(static_cast<Code>(failed->code), as_utf8(failed->message)))
                             : Result<Answer>(std::unexpected(std::move(failed.error())));
  } else if (fds_lost) {
    pending->answer = fail(Code::kResourceExhausted, "no descriptor is free here for what the shim sent");
  } else {
    pending->answer = Answer{message->header.kind, std::string(message->body), std::move(fds)};
  }
  pending->done.set();
}

void Channel::end() {
  open_ = false;
  watch_.cancel();
  socket_.close();
  auto pending = std::move(pending_);
  pending_.clear();
  for (auto& [number, waiter] : pending) waiter->done.set();
}

void Channel::close() {
  if (!open_) return;
  // events_ stays as it is: this may be called from within it.
  end();
}

Task<Status> Channel::send(Kind kind, std::uint32_t number, std::string_view body, std::vector<OwnFd> fds) {
  std::string packet = encode_packet(kind, number, body);
  if (packet.size() > kMaxPacket) {
    co_return invalid_argument("shim message of " + std::to_string(packet.size()) + " bytes: at most " +
                               std::to_string(kMaxPacket) + " are allowed");
  }
  std::vector<FdRef> refs(fds.begin(), fds.end());
  auto self = shared_from_this();
  for (;;) {
    if (!is_open()) co_return fail(Code::kUnavailable, "the shim closed its connection");
    auto sent = sys::send_packet(socket_, packet, refs);
    if (!sent && sent.error().is_gone()) {
      deaf_ = true;
      continue;
    }
    if (sent || !sent.error().is_would_block()) co_return sent;
    if (auto s = co_await watch_.writable(); !s && open_) co_return s;
  }
}

Task<Result<Channel::Answer>> Channel::request(Kind kind, std::string body, std::vector<OwnFd> fds, Kind expected) {
  loop_.assert_here();
  std::uint32_t number = next_++;
  auto pending = std::make_shared<Pending>(loop_);
  pending_[number] = pending;
  auto self = shared_from_this();
  auto sent = co_await send(kind, number, body, std::move(fds));
  if (!sent) {
    pending_.erase(number);
    co_return std::unexpected(std::move(sent.error()));
  }
  co_await pending->done.wait();
  if (pending->answer && pending->answer->kind != expected) {
    co_return fail(Code::kInternal, "the shim answered with message kind " +
                                        std::to_string(static_cast<int>(pending->answer->kind)) + ", expected " +
                                        std::to_string(static_cast<int>(expected)));
  }
  co_return std::move(pending->answer);
}

}  // namespace gantry::shim
