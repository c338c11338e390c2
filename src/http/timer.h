// SPDX-License-Identifier: Apache-2.0
// One call back on the loop after a time, unless it is started anew, cancelled or destroyed before: time limits on
// connections. Loop thread.
#pragma once

#include <functional>
#include <memory>

#include "base/loop.h"

namespace gantry::http {

class Timer {
 public:
  explicit Timer(Loop& loop);
  // Cancels.
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Replaces what was started before. `call` runs from the loop, never inside this call; it may destroy the Timer.
  void start(Duration delay, std::move_only_function<void()> call);
  void cancel();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::http
