// SPDX-License-Identifier: Apache-2.0
// Calls that may never come back: what is behind a path of the host can be a server that is dead. Each has a thread of
// its own, so that one that hangs holds up nobody else's, and may be left behind when the process ends. How many there
// may be is for the owner to see to.
//
// Loop thread, which outlives this.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

#include "base/loop.h"
#include "base/result.h"

namespace gantry {

class HangingCalls {
 public:
  // `leave`: what does not hang has ended by then.
  explicit HangingCalls(Loop& loop, Duration leave = std::chrono::seconds(2));
  // Closes it.
  ~HangingCalls();
  HangingCalls(const HangingCalls&) = delete;
  HangingCalls& operator=(const HangingCalls&) = delete;

  // `work` owns all that it uses. What it returns is called on the loop, by a post; that owns what may go on any
  // thread.
  // kResourceExhausted: there is no thread for it, and it does not run.
  using Conclude = std::move_only_function<void()>;
  Status begin(std::move_only_function<Conclude()> work);
  // Calls that have not come back.
  std::size_t running() const;
  // Nothing is called any more. Waits for what runs, and leaves behind what hangs.
  void close();

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
  const Duration leave_;
};

}  // namespace gantry
