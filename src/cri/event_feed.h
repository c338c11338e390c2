// SPDX-License-Identifier: Apache-2.0
// What happens to containers and sandboxes, to whoever asked to be told (GetContainerEvents). Each subscriber gets all
// events in their order; one that can't take an event is dropped, told why, and asks again when it likes: it may read
// the lists then. Events that come while nobody is subscribed are kept for the first who is: what a gantryd finds when
// it starts, above all. As containerd does. Loop thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <list>
#include <memory>
#include <string>

#include "base/loop.h"
#include "base/result.h"
#include "cri/runtime_service.h"

namespace gantry::cri {

class EventFeed {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::minutes kKept{5};
  static constexpr std::size_t kMaxKeptBytes = 512U << 10;

  void publish(const v1::ContainerEventResponse& event, Clock::time_point now);
  // Returns when `over` is set, which it is here when `take` answers false.
  Task<Status> follow(RuntimeService::EventTaker take, std::shared_ptr<Event> over, Clock::time_point now);
  std::size_t followers() const { return followers_.size(); }

 private:
  struct Kept {
    Clock::time_point at;
    std::string event;  // serialized: a tenth of what the message takes
  };
  struct Follower {
    RuntimeService::EventTaker take;
    std::shared_ptr<Event> over;
    bool is_slow = false;
    // Whether it has it.
    bool give(const v1::ContainerEventResponse& event);
  };
  void forget_old(Clock::time_point now);

  std::list<Follower> followers_;
  std::deque<Kept> kept_;
  std::size_t kept_bytes_ = 0;
};

}  // namespace gantry::cri
