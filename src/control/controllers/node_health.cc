// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/node_health.h"

namespace gantry::control {

bool NodeHealth::is_lost(const std::string& node, const NodeSigns& signs, Duration now) {
  const auto [found, is_new] = nodes_.try_emplace(node, Node{signs, now});
  if (is_new) return false;
  if (found->second.signs != signs) found->second = {signs, now};
  return now - found->second.heard > (signs.has_status ? limits_.grace : limits_.startup);
}

void NodeHealth::heard(const std::string& node, Duration now) {
  if (const auto found = nodes_.find(node); found != nodes_.end()) found->second.heard = now;
}

void NodeHealth::heard_all(Duration now) {
  for (auto& [name, node] : nodes_) node.heard = now;
}

}  // namespace gantry::control
