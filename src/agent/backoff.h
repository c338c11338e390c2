// SPDX-License-Identifier: Apache-2.0
// How long to wait before something is tried again: nothing, then `initial`, doubled each time up to `longest`, and
// from the beginning once it went well for `reset`. By name, as one pod has several containers. Values; the caller says
// what time it is.
#pragma once

#include <algorithm>
#include <chrono>
#include <map>
#include <string>

#include "base/loop.h"

namespace gantry::agent {

using TimePoint = std::chrono::steady_clock::time_point;

struct BackoffLimits {
  Duration initial;
  Duration longest;
  Duration reset;
};

class Backoff {
 public:
  explicit Backoff(BackoffLimits limits) : limits_(limits) {}

  // The wait that applies to what ended at `ended`; zero for the first time.
  Duration delay(const std::string& name, TimePoint ended) const {
    auto entry = entries_.find(name);
    return entry == entries_.end() || is_over(entry->second, ended) ? Duration::zero() : entry->second.delay;
  }
  TimePoint ready_at(const std::string& name, TimePoint ended) const {
    return ended + std::chrono::duration_cast<TimePoint::duration>(delay(name, ended));
  }
  // It is tried again now, after it ended at `ended`.
  void retried(const std::string& name, TimePoint ended, TimePoint now) {
    Duration before = delay(name, ended);
    Duration next = before == Duration::zero() ? limits_.initial : std::min<Duration>(before * 2, limits_.longest);
    entries_[name] = {next, now};
  }
  // It failed now: when to try again.
  TimePoint failed(const std::string& name, TimePoint now) {
    retried(name, now, now);
    return ready_at(name, now);
  }
  void succeeded(const std::string& name) { entries_.erase(name); }

 private:
  struct Entry {
    Duration delay;
    TimePoint tried;
  };
  bool is_over(const Entry& entry, TimePoint ended) const { return ended - entry.tried > limits_.reset; }

  BackoffLimits limits_;
  std::map<std::string, Entry> entries_;
};

}  // namespace gantry::agent
