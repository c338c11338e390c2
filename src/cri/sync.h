// SPDX-License-Identifier: Apache-2.0
// How coroutines of one loop take turns. Lock: one at a time, in the order of their asking. Flights: a call that is
// under way is joined by a second one with the same key, and both get its result; the work itself is the loop's own
// task, so that it comes to its end even when all who asked for it are gone. Loop thread.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/loop.h"
#include "base/task.h"

namespace gantry::cri {

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

template <typename T>
class Flights {
  struct Flight {
    explicit Flight(Loop& loop) : landed(loop) {}
    Event landed;
    std::optional<T> result;
  };

 public:
  explicit Flights(Loop& loop) : loop_(loop) {}

  // Joins the call with this key, or starts `call` when none is under way. T is copied for each who waits.
  Task<T> join(std::string key, std::move_only_function<Task<T>()> call) {
    std::shared_ptr<Flight> flight;
    if (auto found = flights_->find(key); found != flights_->end()) {
      flight = found->second;
    } else {
      flight = std::make_shared<Flight>(loop_);
      flights_->emplace(key, flight);
      loop_.spawn(fly(flights_, key, flight, std::move(call)));
    }
    co_await flight->landed.wait();
    co_return *flight->result;
  }
  bool under_way(const std::string& key) const { return flights_->contains(key); }

 private:
  using Map = std::map<std::string, std::shared_ptr<Flight>>;

  static Task<> fly(std::shared_ptr<Map> flights, std::string key, std::shared_ptr<Flight> flight,
                    std::move_only_function<Task<T>()> call) {
    flight->result = co_await call();
    flights->erase(key);
    flight->landed.set();
  }

  Loop& loop_;
  std::shared_ptr<Map> flights_ = std::make_shared<Map>();
};

}  // namespace gantry::cri
