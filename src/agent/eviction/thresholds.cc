// SPDX-License-Identifier: Apache-2.0
#include "agent/eviction/thresholds.h"

#include <algorithm>
#include <tuple>

#include "api/quantity.h"

namespace gantry::agent {
namespace {

constexpr std::string_view kMemory = "MemoryPressure", kDisk = "DiskPressure", kPids = "PIDPressure";

std::string_view pressure_of(std::string_view signal) {
  if (signal.starts_with("memory.")) return kMemory;
  return signal.starts_with("pid.") ? kPids : kDisk;
}

std::uint64_t amount_of(const EvictionThreshold& threshold, std::uint64_t capacity) {
  if (threshold.amount.empty()) {
    return static_cast<std::uint64_t>(static_cast<double>(capacity) * threshold.percent / 100);
  }
  auto quantity = api::Quantity::parse(threshold.amount);
  return quantity ? static_cast<std::uint64_t>(std::max<std::int64_t>(quantity->value(), 0)) : 0;
}

}  // namespace

SignalLevels levels_of(const NodeReadings& readings) {
  SignalLevels levels;
  const auto add = [&](const char* signal, std::uint64_t available, std::uint64_t capacity) {
    if (capacity > 0) levels[signal] = {available, capacity};
  };
  add("memory.available", readings.memory_available, readings.memory);
  add("nodefs.available", readings.node.available, readings.node.capacity);
  add("nodefs.inodesFree", readings.node.inodes_free, readings.node.inodes);
  add("imagefs.available", readings.images.available, readings.images.capacity);
  add("imagefs.inodesFree", readings.images.inodes_free, readings.images.inodes);
  add("pid.available", readings.max_pids - std::min(readings.pids, readings.max_pids), readings.max_pids);
  return levels;
}

std::string_view resource_of(std::string_view signal) {
  if (signal.starts_with("memory.")) return "memory";
  if (signal.starts_with("pid.")) return "pids";
  return signal.ends_with(".inodesFree") ? "inodes" : "ephemeral-storage";
}

Thresholds::Thresholds(const EvictionConfig& config) : transition_(config.transition) {
  const auto reclaim_of = [&](const std::string& signal) {
    auto found = config.minimum_reclaim.find(signal);
    return found == config.minimum_reclaim.end() ? EvictionThreshold{} : found->second;
  };
  for (const auto& [signal, limit] : config.hard) rules_.push_back({signal, true, limit, reclaim_of(signal)});
  for (const auto& [signal, limit] : config.soft) {
    auto grace = config.soft_grace.find(signal);
    rules_.push_back({signal, false, limit, reclaim_of(signal),
                      grace == config.soft_grace.end() ? Duration::zero() : grace->second});
  }
}

bool Thresholds::is_below(const Rule& rule, const SignalLevels& levels, bool with_reclaim) {
  auto level = levels.find(rule.signal);
  if (level == levels.end()) return false;
  const auto [available, capacity] = level->second;
  std::uint64_t wanted = amount_of(rule.limit, capacity);
  if (with_reclaim) wanted += amount_of(rule.reclaim, capacity);
  return available < wanted;
}

void Thresholds::look(const SignalLevels& levels, Duration now) {
  shortages_.clear();
  for (auto& rule : rules_) {
    const bool is_below_now = is_below(rule, levels, rule.is_met);
    if (is_below_now && !rule.is_seen) rule.since = now;
    rule.is_seen = is_below_now;
    rule.is_met = is_below_now && now - rule.since >= rule.grace;
    if (is_below_now) pressures_[pressure_of(rule.signal)] = {true, now};
    if (!rule.is_met) continue;
    const auto& level = levels.find(rule.signal)->second;
    shortages_.push_back({rule.signal, rule.is_hard, amount_of(rule.limit, level.capacity), level.available});
  }
  for (auto& [name, pressure] : pressures_) {
    if (pressure.is_on && pressure.seen != now && now - pressure.seen >= transition_) pressure.is_on = false;
  }
  std::ranges::sort(shortages_, {}, [](const Shortage& one) {
    return std::tuple(resource_of(one.signal) != "memory", !one.is_hard, one.signal);
  });
}

bool Thresholds::is_short_of(const std::string& signal, const SignalLevels& levels) const {
  return std::ranges::any_of(
      rules_, [&](const Rule& rule) { return rule.signal == signal && is_below(rule, levels, rule.is_met); });
}

NodePressures Thresholds::pressures() const {
  const auto is_on = [this](std::string_view name) {
    auto found = pressures_.find(name);
    return found != pressures_.end() && found->second.is_on;
  };
  return {.memory = is_on(kMemory), .disk = is_on(kDisk), .pids = is_on(kPids)};
}

}  // namespace gantry::agent
