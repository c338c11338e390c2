// SPDX-License-Identifier: Apache-2.0
// How long pods have to end before their machine goes down, by kubelet's rules: of KubeletConfiguration's
// shutdownGracePeriod, shutdownGracePeriodCriticalPods and shutdownGracePeriodByPodPriority. Values, pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/loop.h"
#include "base/result.h"

namespace gantry::agent {

// Pods of this priority and above, up to the next one's.
struct ShutdownPeriod {
  std::int32_t priority = 0;
  Duration period{};
};

// Nothing of it: the machine goes down without a word to its pods.
struct ShutdownConfig {
  Duration all{};       // shutdownGracePeriod
  Duration critical{};  // shutdownGracePeriodCriticalPods: of `all`, the part that critical pods have alone
  std::vector<ShutdownPeriod> by_priority;
};

// kInvalidArgument with the field's name.
Status check(const ShutdownConfig& config);
// In the order in which pods end: the least important ones first. Whole seconds, as kubelet's. Empty: it is not asked
// for.
std::vector<ShutdownPeriod> shutdown_periods(const ShutdownConfig& config);
// Which of them is a pod's; the first one also has those of less than its priority. `periods` is not empty.
std::size_t period_of(const std::vector<ShutdownPeriod>& periods, std::int32_t priority);
// All of them, one after the other.
Duration sum_of(const std::vector<ShutdownPeriod>& periods);

}  // namespace gantry::agent
