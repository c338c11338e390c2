// SPDX-License-Identifier: Apache-2.0
#include "http/websocket_stream.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>

#include "http/websocket.h"

namespace gantry::http {
namespace {

constexpr std::size_t kPiece = 16 << 10;

struct Shared {
  Shared(Loop& l, std::unique_ptr<ByteStream> s) : loop(l), stream(std::move(s)), written(l) {}
  Loop& loop;
  std::unique_ptr<ByteStream> stream;
  WebSocketReader reader;
  std::array<char, kPiece> buffer;  // what the reader was fed
  std::string ahead;                // read and not given yet
  bool peer_done = false;
  std::string out;
  bool is_writing = false, close_sent = false;
  Event written;
};
using SharedPtr = std::shared_ptr<Shared>;

// Answers to pings and the writer's messages go out one after the other, whoever begins.
Task<Status> flush(SharedPtr self) {
  while (self->is_writing) {
    self->written.reset();
    co_await self->written.wait();
  }
  if (self->out.empty()) co_return Status();
  self->is_writing = true;
  std::string batch = std::exchange(self->out, {});
  auto sent = co_await self->stream->write(batch);
  self->is_writing = false;
  self->written.set();
  co_return sent;
}

Task<Status> send_close(SharedPtr self, std::uint16_t code) {
  if (!std::exchange(self->close_sent, true)) write_websocket_close(self->out, code);
  co_return co_await flush(self);
}

// Takes what the reader has; more is to be read when nothing is ahead afterwards.
Task<Status> take_events(SharedPtr self) {
  while (!self->peer_done && self->ahead.empty()) {
    auto event = self->reader.next();
    if (!event) {
      (void)co_await send_close(self, kWebSocketProtocolError);
      co_return std::unexpected(std::move(event.error()));
    }
    if (!*event) break;
    if ((*event)->kind == WebSocketEvent::Kind::kMessage) self->ahead = (*event)->bytes;
    if ((*event)->kind == WebSocketEvent::Kind::kPing && !self->close_sent) {
      write_websocket_pong(self->out, (*event)->bytes);
      if (auto sent = co_await flush(self); !sent) co_return sent;
    }
    if ((*event)->kind == WebSocketEvent::Kind::kClose) {
      self->peer_done = true;
      co_return co_await send_close(self, kWebSocketNormal);
    }
  }
  co_return Status();
}

Task<Result<std::size_t>> read_some(SharedPtr self, std::span<char> buffer) {
  for (;;) {
    if (auto taken = co_await take_events(self); !taken) co_return std::unexpected(std::move(taken.error()));
    if (!self->ahead.empty()) break;
    if (self->peer_done) co_return std::size_t{0};
    auto size = co_await self->stream->read(self->buffer);
    if (!size || *size == 0) co_return size;
    self->reader.feed(std::string_view(self->buffer.data(), *size));
  }
  std::size_t size = std::min(buffer.size(), self->ahead.size());
  std::memcpy(buffer.data(), self->ahead.data(), size);
  self->ahead.erase(0, size);
  co_return size;
}

Task<Status> write_whole(SharedPtr self, std::string_view bytes) {
  if (self->close_sent) co_return fail(Code::kCancelled, "connection closed");
  write_websocket_message(self->out, bytes, {});
  co_return co_await flush(self);
}

Task<> finish(SharedPtr self) {
  (void)co_await send_close(self, kWebSocketNormal);
  self->stream->finish_writing();
}

class WebSocketStream final : public ByteStream {
 public:
  WebSocketStream(Loop& loop, std::unique_ptr<ByteStream> stream)
      : shared_(std::make_shared<Shared>(loop, std::move(stream))) {}
  ~WebSocketStream() override { shared_->stream->close(); }

  Task<Result<std::size_t>> read(std::span<char> buffer) override { return read_some(shared_, buffer); }
  Task<Status> write(std::string_view bytes) override { return write_whole(shared_, bytes); }
  void finish_writing() override { shared_->loop.spawn(finish(shared_)); }
  void unread(std::string bytes) override { shared_->ahead.insert(0, bytes); }
  void set_idle_limit(Duration limit) override { shared_->stream->set_idle_limit(limit); }
  void close() override { shared_->stream->close(); }

 private:
  SharedPtr shared_;
};

}  // namespace

std::unique_ptr<ByteStream> make_websocket_stream(Loop& loop, std::unique_ptr<ByteStream> stream) {
  return std::make_unique<WebSocketStream>(loop, std::move(stream));
}

}  // namespace gantry::http
