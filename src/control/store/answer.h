// SPDX-License-Identifier: Apache-2.0
// One value that another thread gives and a task of a loop waits for. The task may be dropped while it waits; then the
// value is thrown away on the loop, where it would have been used.
#pragma once

#include <coroutine>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "base/loop.h"
#include "base/task.h"

namespace gantry::control {

template <typename T>
class Answer {
  struct State {
    explicit State(Loop& loop) : here(loop) {}
    Loop& here;
    std::mutex mutex;
    bool is_dropped = false;         // nobody waits any more, and `here` may be gone; under mutex
    std::optional<T> value;          // loop thread
    std::coroutine_handle<> caller;  // loop thread
  };

 public:
  explicit Answer(Loop& here) : state_(std::make_shared<State>(here)) {}

  // Any thread, once.
  void give(T value) const {
    const std::lock_guard lock(state_->mutex);
    if (state_->is_dropped) return;
    state_->here.post([state = state_, value = std::move(value)]() mutable {
      state->value.emplace(std::move(value));
      if (state->caller) std::exchange(state->caller, {}).resume();
    });
  }

  // Loop thread, once.
  Task<T> wait() const { return wait_for(Waiter(state_)); }

 private:
  struct Waiting {
    State& state;
    ~Waiting() { state.caller = {}; }
    bool await_ready() const noexcept { return state.value.has_value(); }
    void await_suspend(std::coroutine_handle<> caller) noexcept { state.caller = caller; }
    void await_resume() const noexcept {}
  };
  // A parameter of the coroutine, so that it ends with it even if it never began.
  class Waiter {
   public:
    explicit Waiter(std::shared_ptr<State> state) : state_(std::move(state)) {}
    Waiter(Waiter&&) noexcept = default;
    ~Waiter() {
      if (state_ == nullptr) return;
      const std::lock_guard lock(state_->mutex);
      state_->is_dropped = true;
    }
    State& operator*() const { return *state_; }

   private:
    std::shared_ptr<State> state_;
  };
  static Task<T> wait_for(Waiter waiter) {
    Waiting waiting{*waiter};
    co_await waiting;
    co_return std::move(*(*waiter).value);
  }

  std::shared_ptr<State> state_;
};

}  // namespace gantry::control
