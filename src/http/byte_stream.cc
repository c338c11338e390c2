// SPDX-License-Identifier: Apache-2.0
#include "http/byte_stream.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

#include "http/socket_state.h"
#include "http/timer.h"

namespace gantry::http {
namespace {

Task<Result<std::size_t>> read_some(std::shared_ptr<SocketState> self, std::span<char> buffer) {
  if (std::size_t size = self->take_ahead(buffer); size > 0) co_return size;
  for (;;) {
    if (self->is_closed) co_return connection_closed();
    ssize_t size = ::recv(self->socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    int error = errno;
    if (size >= 0) {
      self->touch();
      co_return static_cast<std::size_t>(size);
    }
    if (error == EINTR) continue;
    if (error != EAGAIN) co_return std::unexpected(Error::from_errno(error, "recv"));
    auto ready = co_await self->watch.readable();
    if (!ready) co_return std::unexpected(std::move(ready.error()));
  }
}

Task<Status> write_whole(std::shared_ptr<SocketState> self, std::string_view bytes) {
  while (!bytes.empty()) {
    if (self->is_closed) co_return connection_closed();
    ssize_t size = ::send(self->socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    int error = errno;
    if (size >= 0) {
      self->touch();
      bytes.remove_prefix(static_cast<std::size_t>(size));
      continue;
    }
    if (error == EINTR) continue;
    if (error != EAGAIN) co_return std::unexpected(Error::from_errno(error, "send"));
    auto ready = co_await self->watch.writable();
    if (!ready) co_return std::unexpected(std::move(ready.error()));
  }
  co_return Status();
}

class SocketStream final : public ByteStream {
 public:
  SocketStream(Loop& loop, SocketFd socket) : shared_(std::make_shared<SocketState>(loop, std::move(socket))) {}
  ~SocketStream() override { shared_->close(); }

  Task<Result<std::size_t>> read(std::span<char> buffer) override { return read_some(shared_, buffer); }
  Task<Status> write(std::string_view bytes) override { return write_whole(shared_, bytes); }
  void finish_writing() override {
    if (!shared_->is_closed) ::shutdown(shared_->socket.get(), SHUT_WR);
  }
  void unread(std::string bytes) override { shared_->ahead.insert(0, bytes); }
  void set_idle_limit(Duration limit) override { http::set_idle_limit(shared_, limit); }
  void close() override { shared_->close(); }

 private:
  std::shared_ptr<SocketState> shared_;
};

}  // namespace

std::unique_ptr<ByteStream> make_socket_stream(Loop& loop, SocketFd socket) {
  return std::make_unique<SocketStream>(loop, std::move(socket));
}

Task<> close_gently(Loop& loop, ByteStream& stream, Duration limit) {
  Timer late(loop);
  late.start(limit, [&stream] { stream.close(); });
  stream.finish_writing();
  std::array<char, 4096> dropped;
  for (;;) {
    auto size = co_await stream.read(dropped);
    if (!size || *size == 0) break;
  }
  stream.close();
}

}  // namespace gantry::http
