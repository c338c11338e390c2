// SPDX-License-Identifier: Apache-2.0
// The order of pulls of a node: so many images at once, the others in the order in which they came, as a registry and a
// disk serve one image quicker than many. Who wants an image that is being pulled does not wait: the runtime joins the
// two. Loop thread; lives as long as the tasks in it.
#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "agent/token_bucket.h"
#include "base/loop.h"
#include "base/task.h"

namespace gantry::agent {

// serializeImagePulls and maxParallelImagePulls, as far as they are said.
struct PullLimits {
  std::optional<bool> serial;
  std::optional<std::size_t> at_once;

  // Images that are pulled at once; 0 is no limit.
  std::size_t most() const { return at_once.value_or(serial.value_or(true) ? 1 : 0); }
};

class PullQueue {
 public:
  // `most` at once, 0 for no limit; and `rate` is how often registries are asked.
  PullQueue(Loop& loop, std::size_t most, RateLimit rate = {})
      : loop_(loop), most_(most), requests_(rate, std::chrono::steady_clock::now()) {}
  PullQueue(const PullQueue&) = delete;
  PullQueue& operator=(const PullQueue&) = delete;

  // Waits for its turn: true, and leave() is to be called. False: `over` was set first. It is set in the end in any
  // case.
  Task<bool> enter(std::string image, std::shared_ptr<Event> over);
  void leave(const std::string& image);
  // Before a registry is asked: comes back when it is time. (kubelet fails such a pull, and tries it again later.)
  Task<> pace();

 private:
  struct Waiter {
    Waiter(Loop& loop, std::string name) : image(std::move(name)), woken(loop) {}
    std::string image;
    Event woken;
    bool has_entered = false;
  };
  static Task<> wake_when(std::shared_ptr<Event> over, std::shared_ptr<Waiter> waiter);
  bool try_enter(const std::string& image);

  Loop& loop_;
  const std::size_t most_;
  TokenBucket requests_;
  std::map<std::string, std::size_t> pulled_;  // now: for how many
  std::list<std::shared_ptr<Waiter>> waiting_;
};

}  // namespace gantry::agent
