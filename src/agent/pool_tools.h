// SPDX-License-Identifier: Apache-2.0
// Work on a pool that belongs to tasks which the loop may drop.
#pragma once

#include <latch>
#include <memory>

#include "base/loop.h"

namespace gantry::agent {

// Waits until all that was submitted has been done: each of the threads takes one of the last pieces of work, and has
// by then ended all that came before. `threads` is the pool's.
inline void finish(Pool& pool, std::size_t threads) {
  auto idle = std::make_shared<std::latch>(static_cast<std::ptrdiff_t>(threads + 1));
  for (std::size_t i = 0; i < threads; ++i) pool.submit([idle] { idle->arrive_and_wait(); });
  idle->arrive_and_wait();
}

}  // namespace gantry::agent
