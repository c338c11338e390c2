// SPDX-License-Identifier: Apache-2.0
#include "cri/event_feed.h"

#include "cri/runtime/v1/api.pb.h"

namespace gantry::cri {

bool EventFeed::Follower::give(const v1::ContainerEventResponse& event) {
  if (over->is_set()) return false;
  if (take(event)) return true;
  is_slow = !over->is_set();
  over->set();
  return false;
}

void EventFeed::forget_old(Clock::time_point now) {
  while (!kept_.empty() && (kept_bytes_ > kMaxKeptBytes || now - kept_.front().at > kKept)) {
    kept_bytes_ -= kept_.front().event.size();
    kept_.pop_front();
  }
}

void EventFeed::publish(const v1::ContainerEventResponse& event, Clock::time_point now) {
  bool is_heard = false;
  for (Follower& follower : followers_) is_heard |= follower.give(event);
  if (is_heard) return;
  kept_.push_back({now, event.SerializeAsString()});
  kept_bytes_ += kept_.back().event.size();
  forget_old(now);
}

Task<Status> EventFeed::follow(RuntimeService::EventTaker take, std::shared_ptr<Event> over, Clock::time_point now) {
  auto self = followers_.insert(followers_.end(), {std::move(take), over});
  forget_old(now);
  while (!kept_.empty()) {
    v1::ContainerEventResponse event;
    if (event.ParseFromString(kept_.front().event) && !self->give(event)) break;
    kept_bytes_ -= kept_.front().event.size();
    kept_.pop_front();
  }
  co_await over->wait();
  const bool is_slow = self->is_slow;
  followers_.erase(self);
  if (is_slow) {
    co_return fail(
        Code::kResourceExhausted,
        "the reader of the events is too slow, and the next one is lost to it: read the lists, and ask again");
  }
  co_return Status();
}

}  // namespace gantry::cri
