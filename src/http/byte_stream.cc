// SPDX-License-Identifier: Apache-2.0
#include "http/byte_stream.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "http/timer.h"

namespace gantry::http {
namespace {

std::unexpected<Error> closed() { return fail(Code::kCancelled, "connection closed"); }

// What the coroutines of a stream share with it: they may be resumed after it is gone.
struct Shared {
  Shared(Loop& loop, SocketFd s) : socket(std::move(s)), watch(loop, socket.ref()), idle(loop) {}

  SocketFd socket;
  Watch watch;  // before the socket closes, it lets go of it
  Timer idle;
  std::string ahead;  // what was unread()
  Duration idle_limit{};
  std::chrono::steady_clock::time_point active;
  bool is_closed = false;

  void touch() {
    if (idle_limit != Duration::zero()) active = std::chrono::steady_clock::now();
  }
  void close() {
    if (std::exchange(is_closed, true)) return;
    idle.cancel();
    watch.cancel();
    socket.close();
  }
};

// The timer is set anew only when it fires: traffic costs a reading of the clock, not a timer.
void arm_idle(const std::shared_ptr<Shared>& shared, Duration delay) {
  shared->idle.start(delay, [weak = std::weak_ptr(shared)] {
    auto self = weak.lock();
    if (!self || self->is_closed) return;
    Duration quiet = std::chrono::steady_clock::now() - self->active;
    if (quiet >= self->idle_limit) return self->close();
    arm_idle(self, self->idle_limit - quiet);
  });
}

Task<Result<std::size_t>> read_some(std::shared_ptr<Shared> self, std::span<char> buffer) {
  if (!self->ahead.empty()) {
    std::size_t size = std::min(buffer.size(), self->ahead.size());
    std::memcpy(buffer.data(), self->ahead.data(), size);
    self->ahead.erase(0, size);
    co_return size;
  }
  for (;;) {
    if (self->is_closed) co_return closed();
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

Task<Status> write_whole(std::shared_ptr<Shared> self, std::string_view bytes) {
  while (!bytes.empty()) {
    if (self->is_closed) co_return closed();
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
  SocketStream(Loop& loop, SocketFd socket) : shared_(std::make_shared<Shared>(loop, std::move(socket))) {}
  ~SocketStream() override { shared_->close(); }

  Task<Result<std::size_t>> read(std::span<char> buffer) override { return read_some(shared_, buffer); }
  Task<Status> write(std::string_view bytes) override { return write_whole(shared_, bytes); }
  void finish_writing() override {
    if (!shared_->is_closed) ::shutdown(shared_->socket.get(), SHUT_WR);
  }
  void unread(std::string bytes) override { shared_->ahead.insert(0, bytes); }
  void set_idle_limit(Duration limit) override {
    shared_->idle_limit = limit;
    shared_->idle.cancel();
    if (limit == Duration::zero() || shared_->is_closed) return;
    shared_->active = std::chrono::steady_clock::now();
    arm_idle(shared_, limit);
  }
  void close() override { shared_->close(); }

 private:
  std::shared_ptr<Shared> shared_;
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
