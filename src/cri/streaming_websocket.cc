// SPDX-License-Identifier: Apache-2.0
// Channels over WebSocket: each binary message begins with the number of its channel. From version 5 a client can
// finish a channel, by a message of 255 and its number; before, only the end of the connection ends its input.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "cri/streaming.h"
#include "cri/streaming_channels.h"
#include "http/timer.h"
#include "http/websocket.h"

namespace gantry::cri {
namespace {

using http::WebSocketEvent;

constexpr unsigned char kCloseSignal = 255;
constexpr std::size_t kPiece = 16 << 10;
constexpr std::size_t kMaxInput = 96 << 10;
constexpr std::size_t kMaxOutput = 64 << 10;
constexpr std::size_t kMaxAnswers = 2 * kMaxOutput;
// As in SPDY's connection: a client that is not read from is asked whether it is still there.
constexpr auto kProbePeriod = std::chrono::seconds(5);
constexpr auto kCloseTime = std::chrono::seconds(2);

struct Inbox {
  explicit Inbox(Loop& loop) : changed(loop) {}
  bool open = false;
  bool finished = false;
  std::string bytes;
  Event changed;
};

struct State {
  State(Loop& l, std::unique_ptr<http::ByteStream> s, bool close_signal)
      : loop(l),
        stream(std::move(s)),
        has_close_signal(close_signal),
        in(l),
        sizes(l),
        room(l),
        output(l),
        space(l),
        end_event(l) {}

  Loop& loop;
  std::unique_ptr<http::ByteStream> stream;
  bool has_close_signal;
  http::WebSocketReader reader;
  std::optional<unsigned char> channel;  // of the message that is being read
  std::string out;
  std::size_t in_flight = 0;
  Inbox in, sizes;
  Event room, output, space, end_event;
  bool dropping = false;
  bool close_sent = false;
  std::optional<Error> end_error;

  bool is_ended() const { return end_error.has_value(); }
  std::size_t pending() const { return out.size() + in_flight; }
  std::size_t buffered() const { return in.bytes.size() + sizes.bytes.size(); }
  Inbox* inbox_of(unsigned char number) {
    if (number == static_cast<unsigned char>(Channel::kIn)) return &in;
    if (number == static_cast<unsigned char>(Channel::kResize)) return &sizes;
    return nullptr;
  }
  void kick() {
    if (!out.empty()) output.set();
  }
  void send_close(std::uint16_t code) {
    if (!std::exchange(close_sent, true)) http::write_websocket_close(out, code);
    kick();
  }
  void end(Error why) {
    if (is_ended()) return;
    end_error = std::move(why);
    stream->close();
    for (Event* event : {&in.changed, &sizes.changed, &room, &output, &space, &end_event}) event->set();
  }
  void take_piece(const WebSocketEvent& event);
};

using StatePtr = std::shared_ptr<State>;

Task<> next(Event& event) {
  event.reset();
  co_await event.wait();
}

void State::take_piece(const WebSocketEvent& event) {
  std::string_view bytes = event.bytes;
  if (event.first) channel.reset();
  if (!channel && !bytes.empty()) {
    channel = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
  }
  if (!channel || bytes.empty() || dropping) return;
  if (*channel == kCloseSignal && has_close_signal) {
    Inbox* inbox = inbox_of(static_cast<unsigned char>(bytes.front()));
    if (inbox == nullptr) return;
    inbox->finished = true;
    inbox->changed.set();
    return;
  }
  // What was not asked for is dropped, as upstream does.
  Inbox* inbox = inbox_of(*channel);
  if (inbox == nullptr || !inbox->open || inbox->finished) return;
  inbox->bytes += bytes;
  inbox->changed.set();
}

Task<> flush(StatePtr self) {
  while (!self->is_ended() && self->pending() > 0) co_await next(self->space);
}

// The last words are sent, if the client takes them.
Task<> close_with(StatePtr self, std::uint16_t code, Error why) {
  http::Timer limit(self->loop);
  limit.start(kCloseTime, [stream = self->stream.get()] { stream->close(); });
  self->send_close(code);
  co_await flush(self);
  self->end(std::move(why));
}

Task<> read_all(StatePtr self) {
  std::array<char, kPiece> buffer;
  for (;;) {
    while (!self->is_ended() && !self->dropping && (self->buffered() > kMaxInput || self->pending() > kMaxAnswers)) {
      self->room.reset();
      if (co_await self->room.wait_for(kProbePeriod) || self->is_ended() || self->pending() > 0) continue;
      http::write_websocket_ping(self->out);
      self->kick();
    }
    if (self->is_ended()) co_return;
    auto size = co_await self->stream->read(buffer);
    if (!size) co_return self->end(std::move(size.error()).with_code(Code::kCancelled));
    if (*size == 0) co_return self->end(Error(Code::kCancelled, "the client closed the connection"));
    self->reader.feed(std::string_view(buffer.data(), *size));
    for (;;) {
      auto event = self->reader.next();
      if (!event) {
        co_return co_await close_with(self, http::kWebSocketProtocolError, std::move(event.error()));
      }
      if (!*event) break;
      if ((*event)->kind == WebSocketEvent::Kind::kMessage) self->take_piece(**event);
      if ((*event)->kind == WebSocketEvent::Kind::kPing && !self->close_sent) {
        http::write_websocket_pong(self->out, (*event)->bytes);
      }
      if ((*event)->kind == WebSocketEvent::Kind::kClose) {
        Error why(Code::kCancelled, "the client closed the connection");
        co_return co_await close_with(self, http::kWebSocketNormal, std::move(why));
      }
    }
    self->kick();
  }
}

Task<> write_all(StatePtr self) {
  for (;;) {
    while (!self->is_ended() && self->out.empty()) co_await next(self->output);
    if (self->is_ended()) co_return;
    std::string batch = std::exchange(self->out, {});
    self->in_flight = batch.size();
    auto written = co_await self->stream->write(batch);
    self->in_flight = 0;
    if (!written) self->end(std::move(written.error()).with_code(Code::kCancelled));
    self->space.set();
    self->room.set();
  }
}

Task<Result<std::size_t>> read_inbox(StatePtr self, Inbox* inbox, std::span<char> buffer) {
  while (inbox->bytes.empty() && !inbox->finished && !self->is_ended()) co_await next(inbox->changed);
  if (inbox->bytes.empty() && inbox->finished) co_return std::size_t{0};
  if (inbox->bytes.empty()) co_return std::unexpected(*self->end_error);
  std::size_t size = std::min(buffer.size(), inbox->bytes.size());
  std::memcpy(buffer.data(), inbox->bytes.data(), size);
  inbox->bytes.erase(0, size);
  self->room.set();
  co_return size;
}

Task<Status> write_channel(StatePtr self, Channel channel, std::string_view bytes) {
  const char number = static_cast<char>(channel);
  while (!bytes.empty()) {
    while (!self->is_ended() && self->pending() >= kMaxOutput) co_await next(self->space);
    if (self->is_ended()) co_return std::unexpected(*self->end_error);
    if (self->close_sent) co_return fail(Code::kCancelled, "the connection is being closed");
    std::string_view piece = bytes.substr(0, kPiece);
    bytes.remove_prefix(piece.size());
    http::write_websocket_message(self->out, std::string_view(&number, 1), piece);
    self->kick();
  }
  co_return Status();
}

Task<> close_normally(StatePtr self, Duration limit) {
  if (self->is_ended()) co_return;
  http::Timer late(self->loop);
  late.start(limit, [weak = std::weak_ptr(self)] {
    if (auto state = weak.lock())
      state->end(Error(Code::kCancelled, "the client did not close the connection in time"));
  });
  self->dropping = true;
  self->room.set();
  self->send_close(http::kWebSocketNormal);
  co_await flush(self);
  if (!self->is_ended()) self->stream->finish_writing();
  co_await self->end_event.wait();
}

class WebSocketChannels final : public Channels {
 public:
  explicit WebSocketChannels(StatePtr state) : state_(std::move(state)) {
    state_->loop.spawn(read_all(state_));
    state_->loop.spawn(write_all(state_));
  }
  ~WebSocketChannels() override { state_->end(Error(Code::kCancelled, "the connection was closed")); }

  Task<Result<std::size_t>> read(Channel channel, std::span<char> buffer) override {
    Inbox* inbox = state_->inbox_of(static_cast<unsigned char>(channel));
    if (inbox == nullptr || !inbox->open) co_return fail(Code::kCancelled, "the channel is not open");
    co_return co_await read_inbox(state_, inbox, buffer);
  }
  Task<Status> write(Channel channel, std::string_view bytes) override { return write_channel(state_, channel, bytes); }
  // The protocol has no word for it; the client learns it from the end of the connection.
  void finish(Channel) override {}
  Task<> ended() override { return wait_end(state_); }
  Task<> shut_down(Duration limit) override { return close_normally(state_, limit); }

 private:
  static Task<> wait_end(StatePtr state) { co_await state->end_event.wait(); }

  StatePtr state_;
};

}  // namespace

std::shared_ptr<Channels> make_websocket_channels(Loop& loop, std::unique_ptr<http::ByteStream> stream,
                                                  ExecStreamSet wanted, bool has_close_signal) {
  auto state = std::make_shared<State>(loop, std::move(stream), has_close_signal);
  state->in.open = wanted.in;
  state->sizes.open = wanted.tty;
  // An empty message on the first channel that we write says that the session stands.
  Channel first = wanted.out ? Channel::kOut : wanted.err ? Channel::kErr : Channel::kError;
  const char number = static_cast<char>(first);
  http::write_websocket_message(state->out, std::string_view(&number, 1), {});
  return std::make_shared<WebSocketChannels>(std::move(state));
}

}  // namespace gantry::cri
