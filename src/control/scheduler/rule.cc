// SPDX-License-Identifier: Apache-2.0
#include "control/scheduler/rule.h"

#include <algorithm>

namespace gantry::control::scheduling {

std::vector<std::int64_t> scaled(std::vector<std::int64_t> counts, bool fewest) {
  const std::int64_t most = counts.empty() ? 0 : *std::ranges::max_element(counts);
  for (std::int64_t& count : counts) {
    const std::int64_t part = most == 0 ? 0 : kMostPoints * count / most;
    count = fewest ? kMostPoints - part : part;
  }
  return counts;
}

}  // namespace gantry::control::scheduling
