// SPDX-License-Identifier: Apache-2.0
// DelayedWakes: objects that are to be looked at again some time from now. The earliest time of each counts.
//
// One loop's thread; it must live as long as the loop runs.
#pragma once

#include <algorithm>
#include <chrono>
#include <string>
#include <unordered_map>

#include "api/client/work_queue.h"
#include "base/loop.h"

namespace gantry::control::workloads {

class DelayedWakes {
 public:
  DelayedWakes(Loop& here, api::WorkQueue& queue) : here_(here), queue_(queue) {}

  // The key comes into the queue by then, and in ten minutes at the latest: objects may say any time, the wall clock may
  // be set, and who looks too early looks again.
  void within(const std::string& key, Duration delay);
  void within(const std::string& key, std::chrono::seconds delay) {
    within(key, Duration(std::clamp(delay, std::chrono::seconds(0), std::chrono::seconds(kLongest))));
  }
  // Nobody is to be looked at any more.
  void clear() { due_.clear(); }

 private:
  static constexpr std::chrono::minutes kLongest{10};
  using Time = std::chrono::steady_clock::time_point;
  Task<> wake(std::string key, Time when);

  Loop& here_;
  api::WorkQueue& queue_;
  std::unordered_map<std::string, Time> due_;
};

}  // namespace gantry::control::workloads
