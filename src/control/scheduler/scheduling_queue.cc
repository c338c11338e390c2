// SPDX-License-Identifier: Apache-2.0
#include "control/scheduler/scheduling_queue.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace gantry::control::scheduling {

namespace {

constexpr char kAdd[] = "UnscheduledPodAdd";
constexpr char kUpdate[] = "TargetPodUpdate";
constexpr char kFailure[] = "ScheduleAttemptFailure";
constexpr char kPauseIsOver[] = "BackoffComplete";
constexpr char kTimeout[] = "UnschedulableTimeout";
constexpr Duration kFirstPause = std::chrono::seconds(1);
constexpr Duration kLongestPause = std::chrono::seconds(10);
constexpr Duration kLongestRest = std::chrono::minutes(5);

Duration pause_after(int attempts) {
  Duration pause = kFirstPause;
  for (int i = 1; i < attempts && pause < kLongestPause; ++i) pause *= 2;
  return std::min(pause, kLongestPause);
}

}  // namespace

SchedulingQueue::Turn SchedulingQueue::turn_of(const Entry& entry) {
  return {-entry.pod->priority(), entry.order, entry.pod->key};
}

void SchedulingQueue::leave(Entry& entry) {
  if (entry.state == State::kReady) ready_.erase(turn_of(entry));
  due_.erase({entry.due, entry.pod->key});
  resting_.erase(entry.pod->key);
}

void SchedulingQueue::make_ready(Entry& entry, std::string_view event) {
  leave(entry);
  if (entered_) entered_(event, "active");
  entry.state = State::kReady;
  entry.order = ++last_order_;
  ready_.insert(turn_of(entry));
}

void SchedulingQueue::wait_until(Entry& entry, State state, std::string_view event, Duration due) {
  leave(entry);
  if (entered_) entered_(event, state == State::kResting ? "unschedulable" : "backoff");
  entry.state = state;
  entry.due = due;
  due_.emplace(due, entry.pod->key);
  if (state == State::kResting) resting_.insert(entry.pod->key);
}

void SchedulingQueue::pause(Entry& entry, std::string_view event, Duration now) {
  const Duration due = entry.tried_at + pause_after(entry.attempts);
  if (entry.attempts == 0 || due <= now) {
    make_ready(entry, event);
  } else {
    wait_until(entry, State::kPausing, event, due);
  }
}

void SchedulingQueue::put(PodInfoPtr pod, bool may_fit_now, Duration now) {
  const auto [place, is_new] = entries_.try_emplace(pod->key);
  Entry& entry = place->second;
  if (is_new) {
    entry.pod = std::move(pod);
    make_ready(entry, kAdd);
    return;
  }
  const bool is_ready = entry.state == State::kReady;
  if (is_ready) ready_.erase(turn_of(entry));
  entry.pod = std::move(pod);
  if (is_ready) ready_.insert(turn_of(entry));
  if (may_fit_now) wake_up(entry, kUpdate, now);
}

void SchedulingQueue::remove(const std::string& key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  leave(found->second);
  entries_.erase(found);
}

void SchedulingQueue::advance(Duration now) {
  while (!due_.empty() && due_.begin()->first <= now) {
    const std::string key = due_.begin()->second;
    Entry& entry = entries_.at(key);
    if (entry.is_held) {
      entry.is_woken = true;
      wait_until(entry, State::kResting, kTimeout, now + kLongestRest);
    } else {
      make_ready(entry, entry.state == State::kPausing ? kPauseIsOver : kTimeout);
    }
  }
}

PodInfoPtr SchedulingQueue::take(Duration now) {
  advance(now);
  if (ready_.empty()) return nullptr;
  const std::string key = std::get<std::string>(*ready_.begin());
  Entry& entry = entries_.at(key);
  leave(entry);
  entry.state = State::kTaken;
  if (++entry.attempts == 1) entry.first_tried_at = now;
  entry.tried_at = now;
  return entry.pod;
}

void SchedulingQueue::refuse(const std::string& key, RuleSet by, Duration now) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  found->second.refused_by = by;
  wait_until(found->second, State::kResting, kFailure, now + kLongestRest);
}

void SchedulingQueue::retry(const std::string& key, Duration now) {
  const auto found = entries_.find(key);
  if (found != entries_.end() && found->second.state == State::kTaken) pause(found->second, kFailure, now);
}

void SchedulingQueue::wake(std::string_view event, const MayHelp& may_help, Duration now) {
  std::vector<Entry*> woken;
  for (const std::string& key : resting_) {
    Entry& entry = entries_.at(key);
    if (may_help(*entry.pod, entry.refused_by)) woken.push_back(&entry);
  }
  // Whoever had his turn first has it first again.
  std::ranges::sort(woken, {}, &Entry::order);
  for (Entry* entry : woken) wake_up(*entry, event, now);
}

void SchedulingQueue::wake_one(std::string_view event, const std::string& key, Duration now) {
  if (const auto found = entries_.find(key); found != entries_.end()) wake_up(found->second, event, now);
}

void SchedulingQueue::wake_up(Entry& entry, std::string_view event, Duration now) {
  if (entry.state != State::kResting) return;
  if (entry.is_held) {
    entry.is_woken = true;
  } else {
    pause(entry, event, now);
  }
}

SchedulingQueue::Attempts SchedulingQueue::attempts_of(const std::string& key) const {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return {};
  return {.count = found->second.attempts, .first = found->second.first_tried_at};
}

void SchedulingQueue::hold(const std::string& key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  found->second.is_held = true;
  found->second.is_woken = false;
}

void SchedulingQueue::release(const std::string& key, bool again, Duration now) {
  const auto found = entries_.find(key);
  if (found == entries_.end() || !std::exchange(found->second.is_held, false)) return;
  if (again || found->second.is_woken) wake_up(found->second, kFailure, now);
}

std::optional<Duration> SchedulingQueue::next_time() const {
  if (due_.empty()) return std::nullopt;
  return due_.begin()->first;
}

}  // namespace gantry::control::scheduling
