// SPDX-License-Identifier: Apache-2.0
// NodeHealth: which nodes have not been heard of for too long. A node is heard of when its status or its Lease has
// changed, whatever times stand in them: clocks of nodes count for nothing. Pure; times are of a clock that only goes
// on.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include "base/loop.h"

namespace gantry::control {

struct HealthLimits {
  Duration grace = std::chrono::seconds(50);    // without a sign
  Duration startup = std::chrono::seconds(60);  // of one that has never said how it is
};

// What a node was last heard to say.
struct NodeSigns {
  std::string uid;
  bool has_status = false;     // it has the condition Ready
  int64_t heartbeat = 0;       // of that condition
  int64_t renewed_micros = 0;  // of its Lease; 0: there is none
  bool operator==(const NodeSigns&) const = default;
};

class NodeHealth {
 public:
  explicit NodeHealth(HealthLimits limits) : limits_(limits) {}

  // Takes in what is there of a node now; true when it has not been heard of for its time. A node that is seen for the
  // first time was heard of now.
  bool is_lost(const std::string& node, const NodeSigns& signs, Duration now);
  // As if it was heard of now; all of them.
  void heard(const std::string& node, Duration now);
  void heard_all(Duration now);
  void forget(const std::string& node) { nodes_.erase(node); }

 private:
  struct Node {
    NodeSigns signs;
    Duration heard{};
  };
  const HealthLimits limits_;
  std::map<std::string, Node> nodes_;
};

}  // namespace gantry::control
