// SPDX-License-Identifier: Apache-2.0
#include "control/scheduler/rule.h"

#include <algorithm>
#include <iterator>

namespace gantry::control::scheduling {

const char* plugin_of(RuleId id) {
  static constexpr const char* kNames[] = {
      "NodeUnschedulable", "NodeName",      "TaintToleration", "NodeAffinity",      "NodePorts",        "NodeResourcesFit",
      "NodeVolumeLimits",  "VolumeBinding", "VolumeZone",      "PodTopologySpread", "InterPodAffinity", "ImageLocality"};
  static_assert(std::size(kNames) == kRuleCount);
  return kNames[static_cast<std::size_t>(id)];
}

std::vector<std::int64_t> scaled(std::vector<std::int64_t> counts, bool fewest) {
  const std::int64_t most = counts.empty() ? 0 : *std::ranges::max_element(counts);
  for (std::int64_t& count : counts) {
    const std::int64_t part = most == 0 ? 0 : kMostPoints * count / most;
    count = fewest ? kMostPoints - part : part;
  }
  return counts;
}

}  // namespace gantry::control::scheduling
