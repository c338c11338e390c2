// SPDX-License-Identifier: Apache-2.0
// ZonePace: how fast nodes that are gone lose their pods. When many nodes of a zone go at once it is rather the network
// than the nodes, and moving their pods would make it worse; when no node of any zone answers, it is this control plane
// that is cut off. Pure; times are of a clock that only goes on.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/loop.h"

namespace gantry::control {

struct ZoneCount {
  int ready = 0;
  int not_ready = 0;
};

enum class ZoneState { kNormal, kPartlyGone, kAllGone };
ZoneState state_of(const ZoneCount& count);

struct PaceLimits {
  Duration pause = std::chrono::seconds(10);           // between two nodes of a zone
  Duration reduced_pause = std::chrono::seconds(100);  // of a zone that is partly gone
  int large_zone = 50;  // a zone that is partly gone and has no more nodes than that loses none
};

class ZonePace {
 public:
  explicit ZonePace(PaceLimits limits) : limits_(limits) {}

  // What all zones are like now. kAllGone: from here on nobody's turn comes; kBack: some have come back, and all shall
  // count as heard of just now.
  enum class Change { kNone, kAllGone, kBack };
  Change update(const std::map<std::string, ZoneCount>& zones);
  // No node of any zone answers.
  bool are_all_gone() const { return all_gone_; }

  // The node waits for its turn in the zone, or does not any more.
  void want(const std::string& zone, const std::string& node);
  void drop(const std::string& node);
  // Whose turn it is, each once.
  std::vector<std::string> take(Duration now);

 private:
  struct Zone {
    std::optional<Duration> pause;  // none: nobody's turn comes
    std::deque<std::string> waiting;
    std::optional<Duration> taken_at;
  };
  std::optional<Duration> pause_of(const ZoneCount& count) const;

  const PaceLimits limits_;
  std::map<std::string, Zone> zones_;
  bool all_gone_ = false;
};

}  // namespace gantry::control
