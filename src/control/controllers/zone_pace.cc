// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/zone_pace.h"

#include <algorithm>

namespace gantry::control {

namespace {

constexpr int kMany = 2;  // so many of a zone may be gone whatever its size
constexpr double kUnhealthyPart = 0.55;

}  // namespace

ZoneState state_of(const ZoneCount& count) {
  if (count.ready == 0 && count.not_ready > 0) return ZoneState::kAllGone;
  const double part = static_cast<double>(count.not_ready) / std::max(1, count.ready + count.not_ready);
  return count.not_ready > kMany && part >= kUnhealthyPart ? ZoneState::kPartlyGone : ZoneState::kNormal;
}

std::optional<Duration> ZonePace::pause_of(const ZoneCount& count) const {
  if (state_of(count) != ZoneState::kPartlyGone) return limits_.pause;
  if (count.ready + count.not_ready > limits_.large_zone) return limits_.reduced_pause;
  return std::nullopt;
}

ZonePace::Change ZonePace::update(const std::map<std::string, ZoneCount>& zones) {
  const bool all_gone = !zones.empty() && std::ranges::all_of(zones, [](const auto& zone) {
    return state_of(zone.second) == ZoneState::kAllGone;
  });
  const bool were_all_gone = all_gone_;
  all_gone_ = all_gone;
  std::erase_if(zones_, [&zones](const auto& zone) { return !zones.contains(zone.first); });
  for (const auto& [name, count] : zones) {
    Zone& zone = zones_[name];

    zone.pause = all_gone ? std::nullopt : pause_of(count);
  }
  if (all_gone == were_all_gone) return Change::kNone;
  if (!all_gone) return Change::kBack;
  for (auto& [name, zone] : zones_) zone.waiting.clear();
  return Change::kAllGone;
}

void ZonePace::want(const std::string& zone, const std::string& node) {
  std::deque<std::string>& waiting = zones_[zone].waiting;
  if (std::ranges::find(waiting, node) == waiting.end()) waiting.push_back(node);
}

void ZonePace::drop(const std::string& node) {
  for (auto& [name, zone] : zones_) std::erase(zone.waiting, node);
}

std::vector<std::string> ZonePace::take(Duration now) {
  std::vector<std::string> taken;
  for (auto& [name, zone] : zones_) {
    if (!zone.pause || zone.waiting.empty()) continue;
    if (zone.taken_at && now - *zone.taken_at < *zone.pause) continue;
    zone.taken_at = now;
    taken.push_back(std::move(zone.waiting.front()));
    zone.waiting.pop_front();
  }
  return taken;
}

}  // namespace gantry::control
