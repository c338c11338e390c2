// SPDX-License-Identifier: Apache-2.0
// When a node is short of something: what is left of it against the thresholds of KubeletConfiguration, with kubelet's
// rules. A soft threshold counts after its grace period; one that was met stays met until its minimum reclaim is left
// beyond it; a pressure is said for the transition period after it was last seen. Values; times are of a clock that
// only goes on.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/node_config.h"
#include "agent/node_machine.h"
#include "base/loop.h"

namespace gantry::agent {

struct SignalLevel {
  std::uint64_t available = 0, capacity = 0;
};
// By the signal's name ("memory.available"); what is not counted is not there.
using SignalLevels = std::map<std::string, SignalLevel, std::less<>>;
SignalLevels levels_of(const NodeReadings& readings);

// What a signal is about, as kubelet calls it: "memory", "ephemeral-storage", "inodes", "pids".
std::string_view resource_of(std::string_view signal);

struct Shortage {
  std::string signal;
  bool is_hard = true;
  std::uint64_t threshold = 0, available = 0;
};

class Thresholds {
 public:
  explicit Thresholds(const EvictionConfig& config);

  void look(const SignalLevels& levels, Duration now);
  // What something has to be done about as of the last look; memory first.
  const std::vector<Shortage>& shortages() const { return shortages_; }
  // Of these levels, which may be newer than the last look.
  bool is_short_of(const std::string& signal, const SignalLevels& levels) const;
  NodePressures pressures() const;

 private:
  struct Rule {
    std::string signal;
    bool is_hard;
    EvictionThreshold limit, reclaim;
    Duration grace{};
    bool is_met = false;  // its grace is over
    bool is_seen = false;
    Duration since{};  // when it was first seen, of those that it is seen in a row
  };
  struct Pressure {
    bool is_on = false;
    Duration seen{};
  };
  static bool is_below(const Rule& rule, const SignalLevels& levels, bool with_reclaim);

  Duration transition_;
  std::vector<Rule> rules_;
  std::vector<Shortage> shortages_;
  std::map<std::string_view, Pressure> pressures_;  // by the condition's name
};

}  // namespace gantry::agent
