// SPDX-License-Identifier: Apache-2.0
// How coroutines of one loop take turns: by a Lock (base/lock.h), or by Flights: a call that is under way is joined by
// a second one with the same key, and both get its result; the work itself is the loop's own task, so that it comes to
// its end even when all who asked for it are gone. Loop thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/lock.h"
#include "base/loop.h"
#include "base/task.h"

namespace gantry::cri {

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
