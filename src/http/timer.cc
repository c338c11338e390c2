// SPDX-License-Identifier: Apache-2.0
#include "http/timer.h"

#include <boost/asio/steady_timer.hpp>
#include <cstdint>

#include "base/loop_asio.h"

namespace gantry::http {

struct Timer::Impl {
  explicit Impl(Loop& loop) : timer(io_context_of(loop)) {}
  boost::asio::steady_timer timer;
  std::move_only_function<void()> call;
  // Counts start() and cancel(): a handler that was already queued when the timer was stopped must not call.
  std::uint64_t round = 0;
};

Timer::Timer(Loop& loop) : impl_(std::make_shared<Impl>(loop)) {}

Timer::~Timer() { cancel(); }

void Timer::start(Duration delay, std::move_only_function<void()> call) {
  impl_->call = std::move(call);
  std::uint64_t round = ++impl_->round;
  impl_->timer.expires_after(delay);
  impl_->timer.async_wait([impl = std::weak_ptr(impl_), round](const boost::system::error_code& error) {
    auto self = impl.lock();
    if (error || !self || self->round != round) return;
    auto due = std::move(self->call);
    due();
  });
}

void Timer::cancel() {
  ++impl_->round;
  impl_->call = nullptr;
  impl_->timer.cancel();
}

}  // namespace gantry::http
