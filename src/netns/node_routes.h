// SPDX-License-Identifier: Apache-2.0
// The routes from this node to the pods of others, in the kernel. Who is on a link of this node is reached by its own
// address; who is behind a router by VXLAN, on one link of ours, whose hardware addresses follow from nodes' addresses,
// so that nothing is learnt and nothing is asked for by broadcast. Both ends choose alike when they are set alike.
//
// All of it is a function of what is wanted and what is there, with nothing kept here: a kill in the middle is made
// good by the next apply(). Routes bear our protocol number, and as their metric the instance's; the link bears its
// alias and group. Others' routes to the same range, which have a metric of their own, stay and count more when theirs
// is lower.
//
// Blocking, one call at a time. Inside this folder only.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "netns/links.h"
#include "netns/netlink.h"
#include "netns/peer_nodes.h"

namespace gantry::netns {

// 8472: what flannel and Cilium have, and firewalls between nodes let through.
inline constexpr std::uint16_t kVxlanPort = 8472;
inline constexpr std::uint32_t kVxlanId = 103;

// What reaches other nodes.
struct NodePaths {
  struct Overlay {
    std::uint32_t mtu = 0;
    MacAddress mac{};
    Family underlay = Family::kV4;
    std::optional<IpAddress> local;
    std::vector<IpAddress> addresses;  // of the link: what this node speaks from along it
    std::vector<Neighbour> neighbours, destinations;
  };
  std::vector<NodeRoute> routes;  // those by the overlay have no link yet
  std::optional<Overlay> overlay;
  std::vector<RefusedNode> unreached;

  // The nodes that the overlay leads to.
  std::vector<IpAddress> overlay_nodes() const;
};

class NodeRoutes {
 public:
  // `mtu` is that of the links to other nodes, `instance` valid.
  NodeRoutes(const std::string& instance, std::uint32_t mtu) : marks_(instance), mtu_(mtu) {}

  // What should be, by the routes that there are now to nodes themselves. `gateways` are this node's addresses for its
  // pods, one of each family at most: without one nobody is reached by VXLAN. Changes nothing.
  Result<NodePaths> plan(RouteMode mode, const OwnNode& own, std::span<const IpAddress> gateways,
                         std::span<const PeerNode> peers);
  // Makes it so, and removes what else is ours.
  Status apply(NodePaths paths);

  // What is there, from whoever made it before: the ranges that routes lead to, and the nodes of the overlay; nothing
  // when there is no overlay.
  struct Present {
    std::vector<Cidr> ranges;
    std::optional<std::vector<IpAddress>> overlay_nodes;
  };
  Result<Present> present();
  // What pods may send at once when nodes are reached by VXLAN.
  std::uint32_t overlay_mtu(Family underlay) const;

 private:
  Result<std::optional<Vxlan>> find_overlay(NetlinkSocket& socket);
  Result<std::uint32_t> ensure_overlay(NetlinkSocket& socket, const NodePaths::Overlay& overlay);
  Status ensure_addresses(NetlinkSocket& socket, std::uint32_t link, const std::vector<IpAddress>& wanted);
  Status ensure_entries(NetlinkSocket& socket, std::uint32_t link, const NodePaths::Overlay& overlay);
  Status remove_overlay(NetlinkSocket& socket);
  Result<bool> plan_direct(NetlinkSocket& socket, const PeerNode& peer, const Cidr& range, NodePaths& paths);
  Status plan_overlay(NetlinkSocket& socket, const OwnNode& own, std::span<const IpAddress> gateways,
                      const PeerNode& peer, const Cidr& range, NodePaths& paths);

  const LinkMarks marks_;
  const std::uint32_t mtu_;
};

}  // namespace gantry::netns
