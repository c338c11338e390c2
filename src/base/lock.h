// SPDX-License-Identifier: Apache-2.0
// How coroutines of one loop take turns: one at a time, in the order of their asking. Loop thread.
#pragma once

#include <deque>
#include <memory>
#include <utility>

#include "base/loop.h"
#include "base/task.h"

namespace gantry {

class Lock {
  struct State {
    bool held = false;
    std::deque<std::shared_ptr<Event>> waiting;
  };

 public:
  // Holds the lock until it is destroyed. May outlive the Lock.
  class Held {
   public:
    Held() = default;
    explicit Held(std::shared_ptr<State> state) : state_(std::move(state)) {}
    Held(Held&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
    Held& operator=(Held other) noexcept {
      std::swap(state_, other.state_);
      return *this;
    }
    ~Held() {
      if (!state_) return;
      if (state_->waiting.empty()) {
        state_->held = false;
        return;
      }
      // The lock stays held: it is handed on.
      auto next = std::move(state_->waiting.front());
      state_->waiting.pop_front();
      next->set();
    }

   private:
    std::shared_ptr<State> state_;
  };

  explicit Lock(Loop& loop) : loop_(loop) {}

  Task<Held> acquire() {
    auto state = state_;
    if (state->held) {
      auto turn = std::make_shared<Event>(loop_);
      state->waiting.push_back(turn);
      co_await turn->wait();
    }
    state->held = true;
    co_return Held(std::move(state));
  }

 private:
  Loop& loop_;
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace gantry
