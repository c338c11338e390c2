// SPDX-License-Identifier: Apache-2.0
#include "control/resource_metrics/usage.h"

#include <algorithm>
#include <cmath>

namespace gantry::control {

namespace {

using std::chrono::milliseconds;

// Less than this says little of a container that has just begun.
constexpr milliseconds kLeastAge = std::chrono::seconds(10);
constexpr double kNanos = 1e9;
constexpr double kMost = 9e18;

milliseconds time_of(const UsageReading& reading, milliseconds taken) {
  if (reading.cpu && reading.cpu->at) return milliseconds(*reading.cpu->at);
  if (reading.memory && reading.memory->at) return milliseconds(*reading.memory->at);
  return taken;
}

std::int64_t whole(double amount) { return static_cast<std::int64_t>(std::llround(std::min(amount, kMost))); }

struct UseInTime : Measured {
  Use use;
};

UseInTime rate(double cpu_before, milliseconds time_before, const UsageReading& now, milliseconds time) {
  UseInTime found;
  found.end = time;
  found.window = time - time_before;
  const double seconds = std::chrono::duration<double>(found.window).count();
  if (now.cpu) found.use.cpu = whole((now.cpu->value - cpu_before) / seconds * kNanos);
  if (now.memory) found.use.memory = whole(now.memory->value);
  return found;
}

// What was there before is the same, and went on.
bool goes_on(const UsageReading& before, const UsageReading& now) {
  if (before.started && now.started && *now.started > *before.started) return false;
  if (now.cpu && (!before.cpu || now.cpu->value < before.cpu->value)) return false;
  return true;
}

std::optional<UseInTime> use_of(const UsageReading* before, milliseconds taken_before, const UsageReading& now,
                                milliseconds taken, milliseconds resolution) {
  if (!now.cpu && !now.memory) return std::nullopt;
  const milliseconds time = time_of(now, taken);
  if (before != nullptr && goes_on(*before, now)) {
    const milliseconds time_before = time_of(*before, taken_before);
    if (time <= time_before) return std::nullopt;
    return rate(before->cpu ? before->cpu->value : 0, time_before, now, time);
  }
  if (!now.started) return std::nullopt;
  const milliseconds began(whole(*now.started * 1000));
  const milliseconds age = time - began;
  if (age < std::min(kLeastAge, resolution) || age > 2 * resolution) return std::nullopt;
  return rate(0, began, now, time);
}

using Containers = std::map<std::string, UsageReading>;

// All containers, or nothing: a sum without one of them would mislead. They share the time of the oldest.
std::optional<PodUse> pod_use(const Containers* before, milliseconds taken_before, const Containers& now,
                              milliseconds taken, milliseconds resolution) {
  PodUse pod;
  for (const auto& [name, reading] : now) {
    if (!reading.cpu && !reading.memory) continue;
    const UsageReading* same = nullptr;
    if (before != nullptr) {
      if (const auto found = before->find(name); found != before->end()) same = &found->second;
    }
    const std::optional<UseInTime> use = use_of(same, taken_before, reading, taken, resolution);
    if (!use) return std::nullopt;
    if (pod.containers.empty() || use->end < pod.end) {
      pod.end = use->end;
      pod.window = use->window;
    }
    pod.containers.emplace(name, use->use);
  }
  if (pod.containers.empty()) return std::nullopt;
  return pod;
}

}  // namespace

NodeUse use_between(const TakenReading* before, const TakenReading& now, milliseconds resolution) {
  NodeUse found;
  const milliseconds taken_before = before == nullptr ? milliseconds(0) : before->at;
  const UsageReading* node_before = before == nullptr ? nullptr : &before->reading.node;
  if (const auto use = use_of(node_before, taken_before, now.reading.node, now.at, resolution)) {
    found.end = use->end;
    found.window = use->window;
    found.node = use->use;
  }
  for (const auto& [name, containers] : now.reading.pods) {
    const Containers* same = nullptr;
    if (before != nullptr) {
      if (const auto known = before->reading.pods.find(name); known != before->reading.pods.end()) {
        same = &known->second;
      }
    }
    if (auto use = pod_use(same, taken_before, containers, now.at, resolution)) {
      found.pods.emplace(name, std::move(*use));
    }
  }
  return found;
}

}  // namespace gantry::control
