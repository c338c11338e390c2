// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/delayed_wakes.h"

namespace gantry::control::workloads {

void DelayedWakes::within(const std::string& key, Duration delay) {
  const Time when = std::chrono::steady_clock::now() + std::min<Duration>(delay, kLongest);
  const auto [due, is_new] = due_.try_emplace(key, when);
  if (!is_new && due->second <= when) return;
  due->second = when;
  here_.spawn(wake(key, when));
}

Task<> DelayedWakes::wake(std::string key, Time when) {
  co_await here_.sleep_for(when - std::chrono::steady_clock::now());
  const auto due = due_.find(key);
  if (due == due_.end() || due->second != when) co_return;  // an earlier one came instead
  due_.erase(due);
  queue_.add(std::move(key));
}

}  // namespace gantry::control::workloads
