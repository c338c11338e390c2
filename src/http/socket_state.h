// SPDX-License-Identifier: Apache-2.0
// What a ByteStream over a socket, plain or TLS, shares with its coroutines, which may be resumed after it is gone.
// Included by such streams alone. Loop thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "base/loop.h"
#include "base/owned_fd.h"
#include "http/timer.h"

namespace gantry::http {

struct SocketState {
  SocketState(Loop& loop, SocketFd s) : socket(std::move(s)), watch(loop, socket.ref()), idle(loop) {}

  SocketFd socket;
  Watch watch;  // before the socket closes, it lets go of it
  Timer idle;
  std::string ahead;  // what was unread()
  Duration idle_limit{};
  std::chrono::steady_clock::time_point active;
  bool is_closed = false;

  // A byte went either way.
  void touch() {
    if (idle_limit != Duration::zero()) active = std::chrono::steady_clock::now();
  }
  void close() {
    if (std::exchange(is_closed, true)) return;
    idle.cancel();
    watch.cancel();
    socket.close();
  }
  // Of what was unread; 0: nothing was.
  std::size_t take_ahead(std::span<char> buffer) {
    std::size_t size = std::min(buffer.size(), ahead.size());
    std::memcpy(buffer.data(), ahead.data(), size);
    ahead.erase(0, size);
    if (ahead.empty()) ahead.shrink_to_fit();
    return size;
  }
};

// The timer is set anew only when it fires: traffic costs a reading of the clock, not a timer.
inline void arm_idle(const std::shared_ptr<SocketState>& state, Duration delay) {
  state->idle.start(delay, [weak = std::weak_ptr(state)] {
    auto self = weak.lock();
    if (!self || self->is_closed) return;
    Duration quiet = std::chrono::steady_clock::now() - self->active;
    if (quiet >= self->idle_limit) return self->close();
    arm_idle(self, self->idle_limit - quiet);
  });
}

inline void set_idle_limit(const std::shared_ptr<SocketState>& state, Duration limit) {
  state->idle_limit = limit;
  state->idle.cancel();
  if (limit == Duration::zero() || state->is_closed) return;
  state->active = std::chrono::steady_clock::now();
  arm_idle(state, limit);
}

inline std::unexpected<Error> connection_closed() { return fail(Code::kCancelled, "connection closed"); }

}  // namespace gantry::http
