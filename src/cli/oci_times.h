// SPDX-License-Identifier: Apache-2.0
// Where the time of a start goes, for --debug: "4.12 ms: bundle 0.61, cgroup 0.70, world 0.35, spawn 0.60, ...".
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/launch/launch.h"

namespace gantry::cli {

class Times {
 public:
  // The time since the lap before, or since this was made, was spent on that.
  void lap(const char* what);
  // Of what was spent on `of`, a launch's steps have taken that since the last call.
  void split(const char* of, const runtime::LaunchNotes& notes);
  // Of what was spent on `of`, all since a launch's last step began was spent on `what`. To be called after split(),
  // when the launch was followed to that lap.
  void split_rest(const char* of, const char* what, const runtime::LaunchNotes& notes);
  // All since it was made, and what each part of it was spent on, in milliseconds.
  std::string text() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Part {
    std::string_view what;
    Clock::duration time;
  };
  void add(std::string_view what, Clock::duration time);

  Clock::time_point begun_ = Clock::now(), last_ = begun_;
  std::vector<Part> parts_;
  std::chrono::nanoseconds split_[runtime::kLaunchSteps] = {};
};

}  // namespace gantry::cli
