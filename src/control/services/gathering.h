// SPDX-License-Identifier: Apache-2.0
// Gathering: services that are to be looked at soon. What changes together, as the pods of a node that comes or goes,
// is one look and one write; and a service of many pods, whose looks and writes cost more, is looked at less often
// while it keeps changing. What changes after a quiet time is seen at once.
//
// One loop's thread; it must live as long as the loop runs.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <unordered_map>

#include "api/client/work_queue.h"

namespace gantry::control::services {

class Gathering {
 public:
  explicit Gathering(api::WorkQueue& queue) : queue_(queue) {}

  // The service comes into the queue.
  void add(const std::string& service) {
    Entry& entry = entries_[service];
    if (entry.waits) return;
    entry.waits = true;
    queue_.add_after(service, std::max<Duration>(kTogether, entry.next - now()));
  }
  // It is looked at now, and has so many pods.
  void begin(const std::string& service, std::size_t pods) {
    entries_[service] = {.waits = false, .next = now() + std::min<Duration>(pods * kPerPod, kLongest)};
  }
  void forget(const std::string& service) { entries_.erase(service); }
  void clear() { entries_.clear(); }

 private:
  static constexpr auto kTogether = std::chrono::milliseconds(20);
  static constexpr auto kPerPod = std::chrono::microseconds(500);
  static constexpr auto kLongest = std::chrono::seconds(1);
  struct Entry {
    bool waits = false;
    Duration next{};  // no look before this
  };
  static Duration now() { return std::chrono::steady_clock::now().time_since_epoch(); }

  api::WorkQueue& queue_;
  std::unordered_map<std::string, Entry> entries_;
};

}  // namespace gantry::control::services
