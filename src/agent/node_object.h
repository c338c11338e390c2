// SPDX-License-Identifier: Apache-2.0
// This node's Node, as it should be: made once, and its status as often as anybody looks. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/node_config.h"
#include "agent/node_machine.h"
#include "api/time.h"
#include "api/value.h"

namespace k8s::io::api::core::v1 {
class Node;
}

namespace gantry::agent {

using Node = k8s::io::api::core::v1::Node;

struct ImageOnNode {
  std::vector<std::string> names;
  std::int64_t size = 0;
};

struct RuntimeHandlerOnNode {
  std::string name;
  bool recursive_read_only_mounts = false, user_namespaces = false;
};

// What one look found.
struct NodeState {
  NodeMachine machine;
  NodeReadings readings;
  std::string runtime_version;         // "gantry://0.1.0"
  std::vector<std::string> not_ready;  // why pods can't run; none: they can
  std::vector<ImageOnNode> images;     // the largest first
  std::vector<RuntimeHandlerOnNode> handlers;
  bool supplemental_groups_policy = false;
};

// The Node with which it registers, with its status.
Node new_node(const NodeConfig& config, const NodeState& state, const NodePressures& pressures, api::Timestamp now);
// The merge patch that brings to a Node that is there already what it lacks of `wanted`'s labels and annotations;
// nothing when it has all.
std::optional<api::Value> registration_patch(const Node& there, const Node& wanted);

// The status of `node` becomes what `state` says; times of conditions that hold stay.
void set_status(Node* node, const NodeConfig& config, const NodeState& state, const NodePressures& pressures,
                api::Timestamp now);
// What people are told of the way from one status to another, as reasons and messages of events.
struct NodeWord {
  std::string reason, message;
};
std::vector<NodeWord> node_words(const Node& before, const Node& after);
// The strategic merge patch from one status to another. Nothing when they differ in heartbeats alone and not
// `heartbeat`.
std::optional<api::Value> status_patch(const Node& there, const Node& wanted, bool heartbeat);

}  // namespace gantry::agent
