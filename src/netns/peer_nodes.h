// SPDX-License-Identifier: Apache-2.0
// The other nodes of a cluster as a node's network sees them, and which of what they claim is believed. Somebody who
// may write Node objects must not get, by the ranges in them, what is sent to others: nodes, services, another node's
// pods. Pure: no kernel, any thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "netns/address.h"

namespace gantry::netns {

// How pods of other nodes are reached.
enum class RouteMode {
  kAuto,    // by their node's address where that is on a link of this node, else by VXLAN
  kDirect,  // by their node's address; who is behind a router is that router's to reach
  kVxlan,   // by VXLAN, all of them
};

struct PeerNode {
  std::string name;
  std::vector<Cidr> ranges;          // its pods'
  std::vector<IpAddress> addresses;  // its own; of each family the first counts
  bool operator==(const PeerNode&) const = default;
};

// What the cluster says of this node.
struct OwnNode {
  std::vector<Cidr> ranges;
  std::vector<IpAddress> addresses;
  bool operator==(const OwnNode&) const = default;
};

struct RefusedNode {
  std::string name, reason;
  bool operator==(const RefusedNode&) const = default;
};

struct ScreenedNodes {
  std::vector<PeerNode> peers;        // no range is in two of them
  std::vector<RefusedNode> refused;   // a node with one wrong range is refused as a whole
};

// `nodes`: who comes first keeps what two claim. Ranges must contain no address of `own`, of the node itself or of one
// before it, nor any of `reserved`, which is sorted: those of services; and no address is in a range of `own` or of one
// before it. With `cluster` ranges are within it. A node without ranges or addresses is neither: it is not ready.
ScreenedNodes screen_nodes(const OwnNode& own, std::vector<PeerNode> nodes, std::span<const IpAddress> reserved,
                           const std::optional<Cidr>& cluster);

// Whether the two have an address in common.
bool overlap(const Cidr& a, const Cidr& b);

}  // namespace gantry::netns
