// SPDX-License-Identifier: Apache-2.0
#include "shim/channel.h"

#include <chrono>

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
  outbox_.clear();
  auto pending = std::move(pending_);
  pending_.clear();
  for (auto& [number, waiter] : pending) waiter->done.set();
}

void Channel::close() {
  if (!open_) return;
  // events_ stays as it is: this may be called from within it.
  end();
}

Status Channel::send(Kind kind, std::string_view body) { return send(Letter{0, encode_packet(kind, 0, body), {}}); }

Status Channel::send(Letter letter) {
  if (letter.packet.size() > kMaxPacket) {
    return invalid_argument("shim message of " + std::to_string(letter.packet.size()) + " bytes: at most " +
                            std::to_string(kMaxPacket) + " are allowed");
  }
  if (outbox_.empty()) {
    auto sent = try_send(letter);
    if (sent || !sent.error().is_would_block()) return sent;
  }
  outbox_.push_back(std::move(letter));
  if (!flushing_) loop_.spawn(flush(shared_from_this()));
  return {};
}

Status Channel::try_send(const Letter& letter) {
  constexpr const char* kClosed = "the shim closed its connection";
  if (!is_open()) return fail(Code::kUnavailable, kClosed);
  std::vector<FdRef> refs(letter.fds.begin(), letter.fds.end());
  auto sent = sys::send_packet(socket_, letter.packet, refs);
  if (!sent && sent.error().is_gone()) {
    deaf_ = true;
    return fail(Code::kUnavailable, kClosed);
  }
  return sent;
}

Task<> Channel::flush([[maybe_unused]] std::shared_ptr<Channel> self) {  // keeps this alive
  flushing_ = true;
  while (!outbox_.empty()) {
    auto sent = try_send(outbox_.front());
    if (!sent && sent.error().is_would_block()) {
      if (auto room = co_await watch_.writable(); !room) break;
      continue;  // whoever asked may have taken it back meanwhile
    }
    std::uint32_t number = outbox_.front().number;
    outbox_.pop_front();
    auto found = sent ? pending_.end() : pending_.find(number);
    if (found == pending_.end()) continue;
    auto pending = std::move(found->second);
    pending_.erase(found);
    pending->answer = std::unexpected(std::move(sent.error()));
    pending->done.set();
  }
  flushing_ = false;
}

Task<Result<Channel::Answer>> Channel::request(Kind kind, std::string body, std::vector<OwnFd> fds, Kind expected,
                                               Duration limit) {
  loop_.assert_here();
  std::uint32_t number = next_++;
  auto pending = std::make_shared<Pending>(loop_);
  pending_[number] = pending;
  auto self = shared_from_this();
  if (auto sent = send(Letter{number, encode_packet(kind, number, body), std::move(fds)}); !sent) {
    pending_.erase(number);
    co_return std::unexpected(std::move(sent.error()));
  }
  if (!co_await pending->done.wait_for(limit) && !pending->done.is_set()) {
    pending_.erase(number);
    std::erase_if(outbox_, [number](const Letter& letter) { return letter.number == number; });
    co_return fail(Code::kDeadlineExceeded, "the shim did not answer within " +
                                                std::to_string(std::chrono::ceil<std::chrono::seconds>(limit).count()) +
                                                " s");
  }
  if (pending->answer && pending->answer->kind != expected) {
    co_return fail(Code::kInternal, "the shim answered with message kind " +
                                        std::to_string(static_cast<int>(pending->answer->kind)) + ", expected " +
                                        std::to_string(static_cast<int>(expected)));
  }
  co_return std::move(pending->answer);
}

}  // namespace gantry::shim
