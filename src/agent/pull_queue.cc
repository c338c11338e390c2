// SPDX-License-Identifier: Apache-2.0
#include "agent/pull_queue.h"

#include <utility>

namespace gantry::agent {

bool PullQueue::try_enter(const std::string& image) {
  if (most_ != 0 && pulled_.size() >= most_ && !pulled_.contains(image)) return false;
  ++pulled_[image];
  return true;
}

Task<> PullQueue::wake_when(std::shared_ptr<Event> over, std::shared_ptr<Waiter> waiter) {
  co_await over->wait();
  waiter->woken.set();
}

Task<bool> PullQueue::enter(std::string image, std::shared_ptr<Event> over) {
  if (over->is_set()) co_return false;
  if (try_enter(image)) co_return true;
  auto waiter = std::make_shared<Waiter>(loop_, std::move(image));
  waiting_.push_back(waiter);
  loop_.spawn(wake_when(over, waiter));
  co_await waiter->woken.wait();
  if (!waiter->has_entered) waiting_.remove(waiter);
  co_return waiter->has_entered;
}

void PullQueue::leave(const std::string& image) {
  if (--pulled_[image] == 0) pulled_.erase(image);
  for (auto next = waiting_.begin(); next != waiting_.end();) {
    Waiter& waiter = **next;
    if (!try_enter(waiter.image)) {
      ++next;
      continue;
    }
    waiter.has_entered = true;
    waiter.woken.set();
    next = waiting_.erase(next);
  }
}

Task<> PullQueue::pace() {
  const Duration wait = requests_.take(std::chrono::steady_clock::now());
  if (wait > Duration::zero()) co_await loop_.sleep_for(wait);
}

}  // namespace gantry::agent
