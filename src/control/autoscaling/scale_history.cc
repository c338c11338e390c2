// SPDX-License-Identifier: Apache-2.0
#include "control/autoscaling/scale_history.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kubernetes/autoscaling/v2/autoscaling.pb.h"

namespace gantry::control::autoscaling {

namespace {

namespace v2 = k8s::io::api::autoscaling::v2;

// Without a behavior: to the double, or to so many, whichever is more.
constexpr std::int64_t kUpFactor = 2;
constexpr std::int64_t kUpLeast = 4;

const Reason kReady{"ReadyForNewScale", "recommended size matches current size"};
const Reason kDownStabilized{"ScaleDownStabilized",
                             "recent recommendations were higher than current one, applying the highest recent "
                             "recommendation"};
const Reason kUpStabilized{
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation"};
const Reason kInRange{"DesiredWithinRange", "the desired count is within the acceptable range"};
const Reason kTooMany{"TooManyReplicas", "the desired replica count is more than the maximum replica count"};
const Reason kTooFew{"TooFewReplicas", "the desired replica count is less than the minimum replica count"};
const Reason kTooFastUp{"ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate"};
const Reason kTooFastDown{"ScaleDownLimit",
                          "the desired replica count is decreasing faster than the maximum scale rate"};

struct Bounded {
  std::int64_t replicas = 0;
  Reason reason = kInRange;
};

Bounded at_most(std::int64_t wanted, std::int64_t maximum, std::int64_t pace) {
  const bool is_pace = maximum > pace;
  const std::int64_t most = std::min(maximum, pace);
  if (wanted <= most) return {wanted};
  return {most, is_pace ? kTooFastUp : kTooMany};
}

Bounded at_least(std::int64_t wanted, std::int64_t minimum, std::int64_t pace) {
  const bool is_pace = minimum < pace;
  const std::int64_t least = std::max(minimum, pace);
  if (wanted >= least) return {wanted};
  return {least, is_pace ? kTooFastDown : kTooFew};
}

std::int32_t longest_period(const v2::HPAScalingRules& rules) {
  std::int32_t longest = 0;
  for (const v2::HPAScalingPolicy& policy : rules.policies()) longest = std::max(longest, policy.period_seconds());
  return longest;
}

}  // namespace

void ScaleHistory::begin(std::int32_t current, std::int64_t now) {
  if (proposals_.empty()) proposals_.push_back({current, now});
}

ScaleHistory::Stabilized ScaleHistory::stabilize(std::int32_t proposed, const Settings& settings, std::int64_t now) {
  const std::int64_t since = now - settings.downscale_stabilization.count();
  std::erase_if(proposals_, [&](const Entry& entry) { return entry.at < since; });
  std::int32_t highest = proposed;
  for (const Entry& entry : proposals_) highest = std::max(highest, entry.replicas);
  proposals_.push_back({proposed, now});
  return {highest, highest != proposed ? kDownStabilized : kReady};
}

ScaleHistory::Stabilized ScaleHistory::stabilize(const v2::HorizontalPodAutoscalerBehavior& behavior,
                                                 std::int32_t current, std::int32_t proposed, const Settings& settings,
                                                 std::int64_t now) {
  const v2::HPAScalingRules& down = behavior.scale_down();
  const std::int64_t down_window = down.has_stabilization_window_seconds() ? down.stabilization_window_seconds()
                                                                           : settings.downscale_stabilization.count();
  const std::int64_t since_up = now - behavior.scale_up().stabilization_window_seconds();
  const std::int64_t since_down = now - down_window;
  std::int32_t lowest = proposed, highest = proposed;
  for (const Entry& entry : proposals_) {
    if (entry.at > since_up) lowest = std::min(lowest, entry.replicas);
    if (entry.at > since_down) highest = std::max(highest, entry.replicas);
  }
  std::erase_if(proposals_, [&](const Entry& entry) { return entry.at < since_up && entry.at < since_down; });
  proposals_.push_back({proposed, now});
  // What there is stays, unless all recent proposals are above or below.
  const std::int32_t stable = std::min(std::max(current, lowest), highest);
  if (stable == proposed) return {stable, kReady};
  return {stable, proposed >= current ? kUpStabilized : kDownStabilized};
}

std::int64_t ScaleHistory::at_begin_of(std::int32_t period, std::int32_t current, std::int64_t now) const {
  std::int64_t replicas = current;
  for (const Entry& entry : ups_) replicas -= entry.at > now - period ? entry.replicas : 0;
  for (const Entry& entry : downs_) replicas += entry.at > now - period ? entry.replicas : 0;
  return replicas;
}

std::int64_t ScaleHistory::limit_up(const Rules& rules, std::int32_t current, std::int64_t now) const {
  if (rules.select_policy() == "Disabled") return current;
  const bool least = rules.select_policy() == "Min";
  std::int64_t limit = least ? std::numeric_limits<std::int32_t>::max() : std::numeric_limits<std::int32_t>::min();
  for (const v2::HPAScalingPolicy& policy : rules.policies()) {
    const std::int64_t begin = at_begin_of(policy.period_seconds(), current, now);
    // Rounded up: else one could never become more.
    const double percent = std::ceil(static_cast<double>(begin) * (1 + static_cast<double>(policy.value()) / 100));
    const std::int64_t allowed =
        policy.type() == "Pods" ? begin + policy.value() : static_cast<std::int64_t>(percent);
    limit = least ? std::min(limit, allowed) : std::max(limit, allowed);
  }
  return std::max<std::int64_t>(limit, current);
}

std::int64_t ScaleHistory::limit_down(const Rules& rules, std::int32_t current, std::int64_t now) const {
  if (rules.select_policy() == "Disabled") return current;
  const bool least = rules.select_policy() == "Min";
  std::int64_t limit = least ? std::numeric_limits<std::int32_t>::min() : std::numeric_limits<std::int32_t>::max();
  for (const v2::HPAScalingPolicy& policy : rules.policies()) {
    const std::int64_t begin = at_begin_of(policy.period_seconds(), current, now);
    const double percent = static_cast<double>(begin) * (1 - static_cast<double>(policy.value()) / 100);
    const std::int64_t allowed =
        policy.type() == "Pods" ? begin - policy.value() : static_cast<std::int64_t>(percent);
    limit = least ? std::max(limit, allowed) : std::min(limit, allowed);
  }
  return std::min<std::int64_t>(limit, current);
}

Allowed ScaleHistory::allow(const v2::HorizontalPodAutoscalerSpec& spec, std::int32_t minimum, std::int32_t current,
                            std::int32_t proposed, const Settings& settings, std::int64_t now) {
  Stabilized stable;
  Bounded bounded;
  if (!spec.has_behavior()) {
    stable = stabilize(proposed, settings, now);
    const std::int64_t pace = std::max(kUpFactor * current, kUpLeast);
    if (stable.replicas < minimum) {
      bounded = {minimum, kTooFew};
    } else {
      bounded = at_most(stable.replicas, spec.max_replicas(), pace);
    }
  } else {
    stable = stabilize(spec.behavior(), current, proposed, settings, now);
    bounded = {stable.replicas};
    if (stable.replicas > current) {
      bounded = at_most(stable.replicas, spec.max_replicas(), limit_up(spec.behavior().scale_up(), current, now));
    } else if (stable.replicas < current) {
      bounded = at_least(stable.replicas, minimum, limit_down(spec.behavior().scale_down(), current, now));
    }
  }
  const auto replicas = static_cast<std::int32_t>(bounded.replicas);
  return {.replicas = replicas,
          .able = std::move(stable.able),
          .is_limited = replicas != stable.replicas,
          .limit = std::move(bounded.reason)};
}

void ScaleHistory::scaled(const v2::HorizontalPodAutoscalerSpec& spec, std::int32_t from, std::int32_t to,
                          std::int64_t now) {
  if (!spec.has_behavior()) return;  // nobody asks for it
  const bool up = to > from;
  const std::int32_t longest =
      longest_period(up ? spec.behavior().scale_up() : spec.behavior().scale_down());
  std::vector<Entry>& entries = up ? ups_ : downs_;
  std::erase_if(entries, [&](const Entry& entry) { return entry.at < now - longest; });
  const std::int64_t change = std::abs(std::int64_t{to} - from);
  entries.push_back({static_cast<std::int32_t>(std::min<std::int64_t>(change, INT32_MAX)), now});
}

}  // namespace gantry::control::autoscaling
