// SPDX-License-Identifier: Apache-2.0
// TokenBucket: so many in a second, and a burst of more after a rest. Values; the caller says what time it is, and
// waits.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

#include "base/loop.h"

namespace gantry::agent {

struct RateLimit {
  std::int64_t per_second = 0;  // 0: no limit
  std::int64_t burst = 0;
};

class TokenBucket {
 public:
  using Time = std::chrono::steady_clock::time_point;
  TokenBucket(RateLimit limit, Time now) : limit_(limit), tokens_(static_cast<double>(limit.burst)), counted_(now) {}

  // Takes one that is there, or the next that will be: it may go on after that time.
  Duration take(Time now) {
    if (limit_.per_second <= 0) return Duration::zero();
    const auto rate = static_cast<double>(limit_.per_second);
    const std::chrono::duration<double> passed = now - std::exchange(counted_, now);
    tokens_ = std::min<double>(std::max<std::int64_t>(limit_.burst, 1), tokens_ + passed.count() * rate) - 1;
    if (tokens_ >= 0) return Duration::zero();
    return std::chrono::round<Duration>(std::chrono::duration<double>(-tokens_ / rate));
  }

 private:
  RateLimit limit_;
  double tokens_;
  Time counted_;  // that the tokens are of
};

}  // namespace gantry::agent
