// SPDX-License-Identifier: Apache-2.0
// One value that another thread gives and a task of a loop waits for. The task may be dropped while it waits; then the
// value is thrown away on the loop, where it would have been used.
#pragma once

#include <coroutine>
#include <memory>
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
    std::optional<T> value;          // loop thread
    std::coroutine_handle<> caller;  // loop thread
  };

 public:
  explicit Answer(Loop& here) : state_(std::make_shared<State>(here)) {}

  // Any thread, once.
  void give(T value) const {
    state_->here.post([state = state_, value = std::move(value)]() mutable {
      state->value.emplace(std::move(value));
      if (state->caller) std::exchange(state->caller, {}).resume();
    });
  }

  // Loop thread, once.
  Task<T> wait() const { return wait_for(state_); }

 private:
  struct Waiting {
    State& state;
    ~Waiting() { state.caller = {}; }
    bool await_ready() const noexcept { return state.value.has_value(); }
    void await_suspend(std::coroutine_handle<> caller) noexcept { state.caller = caller; }
    void await_resume() const noexcept {}
  };
  static Task<T> wait_for(std::shared_ptr<State> state) {
    Waiting waiting{*state};
    co_await waiting;
    co_return std::move(*state->value);
  }

  std::shared_ptr<State> state_;
};

}  // namespace gantry::control
