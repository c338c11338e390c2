// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/node_taints.h"

#include <algorithm>

#include "api/kinds/core/node_fit.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr char kNoSchedule[] = "NoSchedule";
constexpr char kUnschedulable[] = "node.kubernetes.io/unschedulable";

struct ConditionTaint {
  const char* type;
  const char* status;
  const char* key;
};
constexpr ConditionTaint kConditionTaints[] = {
    {"Ready", "False", kNotReadyTaint},
    {"Ready", "Unknown", kUnreachableTaint},
    {"MemoryPressure", "True", "node.kubernetes.io/memory-pressure"},
    {"DiskPressure", "True", "node.kubernetes.io/disk-pressure"},
    {"NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"},
    {"PIDPressure", "True", "node.kubernetes.io/pid-pressure"},
};

core::Taint make_taint(std::string_view key, std::string_view effect, api::Timestamp now) {
  core::Taint taint;
  taint.set_key(std::string(key));
  taint.set_effect(std::string(effect));
  taint.mutable_time_added()->set_seconds(now.seconds);
  return taint;
}

bool is_condition_taint(const core::Taint& taint) {
  if (taint.effect() != kNoSchedule) return false;
  return taint.key() == kUnschedulable ||
         std::ranges::any_of(kConditionTaints, [&taint](const auto& known) { return taint.key() == known.key; });
}

// Those of `wanted` that are missing are added, those of the same sort that are not wanted go.
std::optional<Taints> exchange(const core::Node& node, const std::vector<std::string>& wanted, std::string_view effect,
                               const auto& is_of_sort, api::Timestamp now) {
  Taints taints = taints_of(node);
  const size_t gone = std::erase_if(taints, [&](const core::Taint& taint) {
    return is_of_sort(taint) && std::ranges::find(wanted, taint.key()) == wanted.end();
  });
  bool added = false;
  for (const std::string& key : wanted) {
    if (has_taint(taints, key, effect)) continue;
    taints.push_back(make_taint(key, effect, now));
    added = true;
  }
  if (gone == 0 && !added) return std::nullopt;
  return taints;
}

}  // namespace

std::string condition_status(const core::Node& node, std::string_view type) {
  for (const core::NodeCondition& condition : node.status().conditions()) {
    if (condition.type() == type) return condition.status();
  }
  return {};
}

Taints taints_of(const core::Node& node) { return {node.spec().taints().begin(), node.spec().taints().end()}; }

bool has_taint(const Taints& taints, std::string_view key, std::string_view effect) {
  return std::ranges::any_of(taints,
                             [&](const core::Taint& taint) { return taint.key() == key && taint.effect() == effect; });
}

bool same_taints(const core::Node& a, const core::Node& b) {
  return std::ranges::equal(a.spec().taints(), b.spec().taints(), [](const core::Taint& x, const core::Taint& y) {
    return x.key() == y.key() && x.value() == y.value() && x.effect() == y.effect();
  });
}

std::optional<Taints> with_condition_taints(const core::Node& node, api::Timestamp now) {
  std::vector<std::string> wanted;
  for (const ConditionTaint& known : kConditionTaints) {
    if (condition_status(node, known.type) == known.status) wanted.emplace_back(known.key);
  }
  if (node.spec().unschedulable()) wanted.emplace_back(kUnschedulable);
  return exchange(node, wanted, kNoSchedule, is_condition_taint, now);
}

std::optional<Taints> with_readiness_taint(const core::Node& node, std::string_view key, api::Timestamp now) {
  std::vector<std::string> wanted;
  if (!key.empty()) wanted.emplace_back(key);
  const auto is_of_sort = [](const core::Taint& taint) {
    return taint.effect() == kNoExecute && (taint.key() == kNotReadyTaint || taint.key() == kUnreachableTaint);
  };
  return exchange(node, wanted, kNoExecute, is_of_sort, now);
}

// More than a Duration has room for is as long to everybody here.
constexpr int64_t kLongestStay = int64_t{100} * 365 * 24 * 3600;

Stay stay_of(const core::Pod& pod, const Taints& taints) {
  Stay stay{.forever = true};
  for (const core::Taint& taint : taints) {
    if (taint.effect() != kNoExecute) continue;
    const auto& tolerations = pod.spec().tolerations();
    const auto first = std::ranges::find_if(tolerations, [&taint](const core::Toleration& toleration) {
      return api::tolerates(toleration, {taint.key(), taint.value(), taint.effect()});
    });
    if (first == tolerations.end()) return {.forever = false, .seconds = 0};
    if (!first->has_toleration_seconds()) continue;
    const int64_t seconds = std::clamp<int64_t>(first->toleration_seconds(), 0, kLongestStay);
    stay = {.forever = false, .seconds = stay.forever ? seconds : std::min(stay.seconds, seconds)};
  }
  return stay;
}

}  // namespace gantry::control
