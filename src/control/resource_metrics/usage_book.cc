// SPDX-License-Identifier: Apache-2.0
#include "control/resource_metrics/usage_book.h"

#include <algorithm>
#include <utility>

namespace gantry::control {

namespace {

// A rate over a longer time says nothing of now: so many resolutions, and two minutes at the least.
constexpr int kLongestWindow = 8;
constexpr std::chrono::minutes kLeastWindow{2};
// One answer that was late or lost is no reason to know nothing.
constexpr int kMostMissed = 1;

}  // namespace

void UsageBook::put(const std::string& node, TakenReading reading) {
  Known* known = nullptr;
  {
    const std::lock_guard lock(mutex_);
    known = &nodes_[node];
  }
  // Readers wait for none of this: they don't look at `last`, and who writes is one.
  const auto longest = std::max<std::chrono::milliseconds>(kLongestWindow * resolution_, kLeastWindow);
  const bool is_near = known->last.at.count() != 0 && reading.at - known->last.at <= longest;
  std::shared_ptr<const NodeUse> use =
      std::make_shared<const NodeUse>(use_between(is_near ? &known->last : nullptr, reading, resolution_));
  std::swap(known->last, reading);
  const std::lock_guard lock(mutex_);
  known->use.swap(use);
  known->missed = 0;
}

void UsageBook::miss(const std::string& node) {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(node);
  if (found != nodes_.end() && ++found->second.missed > kMostMissed) found->second.use = nullptr;
}

void UsageBook::keep(const std::set<std::string>& nodes) {
  const std::lock_guard lock(mutex_);
  std::erase_if(nodes_, [&](const auto& entry) { return !nodes.contains(entry.first); });
}

std::shared_ptr<const NodeUse> UsageBook::of(const std::string& node) const {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(node);
  return found == nodes_.end() ? nullptr : found->second.use;
}

}  // namespace gantry::control
