// SPDX-License-Identifier: Apache-2.0
// The rtnetlink(7) requests that a pod's wiring is made of, and what comes back. Each function builds one request and
// sends nothing, so that a caller puts several into one system call. Inside this folder only.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "netns/address.h"
#include "netns/netlink.h"

namespace gantry::netns {

using MacAddress = std::array<std::uint8_t, 6>;

// A link as the kernel describes it.
struct Link {
  std::uint32_t index = 0;
  std::uint32_t peer_index = 0;  // in the peer's namespace
  std::uint32_t group = 0;
  std::uint32_t mtu = 0;
  bool up = false;
  std::string name, alias, kind;
};

// The marks of one instance, and the names that follow from a sandbox id. A name is a hash of both ids: 13 characters
// for 64 bits, so that two sandboxes of a node practically never meet, and who does is told by the alias, which has the
// id in full.
class LinkMarks {
 public:
  explicit LinkMarks(std::string instance);
  const std::string& instance() const { return instance_; }
  // "gt" and 13 of [0-9a-v]: 15 characters, all that the kernel takes.
  std::string host_name(std::string_view sandbox_id) const;
  std::string alias(std::string_view sandbox_id, const std::vector<IpAddress>& addresses) const;
  // Locally administered addresses of both ends: fixed ones, so that neither udev's policy for new links nor the
  // kernel's dice change them under the permanent neighbour entries.
  MacAddress host_mac(std::string_view sandbox_id) const;
  MacAddress pod_mac(std::string_view sandbox_id) const;
  // A link group for all links of the instance, never 0; what an nftables rule matches with one comparison.
  std::uint32_t group() const { return group_; }
  // That of the link to nodes which are reached by VXLAN, and the link's name and alias.
  std::uint32_t overlay_group() const { return group_ ^ 0x40000000; }
  std::string overlay_name() const;
  std::string overlay_alias() const;
  // The group of those that are about to be removed, together.
  std::uint32_t ending_group() const { return group_ | 0x80000000; }
  // Says that a link without an alias is one of ours that a crash left between its making and its marking.
  bool is_unmarked(const Link& link, std::string_view sandbox_id) const;

 private:
  std::string instance_;
  std::uint32_t group_;
};

// What an alias of ours says; nothing for any other text. `instance` may be another node's.
struct AliasParts {
  std::string instance, sandbox_id;
  std::vector<IpAddress> addresses;
};
std::optional<AliasParts> parse_alias(std::string_view alias);

struct VethRequest {
  std::string host_name;
  MacAddress host_mac;
  MacAddress pod_mac;
  std::uint32_t mtu = 0;
  std::uint32_t group = 0;
  FdRef pod_netns;
};
// Both ends, down; the pod's is made in its namespace from the start, as eth0.
Request make_veth(const VethRequest& veth);
Request set_alias(const std::string& name, const std::string& alias);
// IPv4 settings of the host's end: strict reverse-path filter, forwarding, no redirects either way, ARP answers for the
// addresses of this link alone.
Request set_host_policy(const std::string& name);
// The pods' network is IPv4's: the link takes no IPv6 packet, and no router's advertisement should that change.
Status close_ipv6(const std::string& name);
// No IPv6 address made by the kernel itself.
Request set_no_auto_address(std::uint32_t index);
Request set_up(std::uint32_t index);
Request delete_link(std::uint32_t index);
Request set_group(std::uint32_t index, std::uint32_t group);
// All links of the group, which is not 0. kNotFound when there is none.
Request delete_group(std::uint32_t group);
Request get_link(const std::string& name);
Request list_veths();
Result<Link> parse_link(const std::string& message);

// A single address (/32, /128).
Request add_address(std::uint32_t index, const IpAddress& address);
Request add_neighbour(std::uint32_t index, const IpAddress& address, const MacAddress& mac);
// `destination` alone, directly on the link. With NLM_F_EXCL: a route to it that is there already is an error.
Request add_link_route(std::uint32_t index, const IpAddress& destination, const IpAddress& source);
Request add_default_route(std::uint32_t index, const IpAddress& gateway, const IpAddress& source);

// ---- to other nodes

// The hardware address that a node's end of the overlay has, which others compute from the node's own address.
MacAddress overlay_mac(const IpAddress& node);

struct VxlanRequest {
  std::string name;
  MacAddress mac;
  std::uint32_t mtu = 0;
  std::uint32_t group = 0;
  std::uint32_t vni = 0;
  std::uint16_t port = 0;
  Family underlay = Family::kV4;
  std::optional<IpAddress> local;  // what its packets are sent from; nothing: the kernel chooses
};
// Down; it learns nothing from what it receives.
Request make_vxlan(const VxlanRequest& vxlan);
struct Vxlan {
  Link link;
  MacAddress mac;
  std::uint32_t vni = 0;
  std::uint16_t port = 0;
  std::optional<IpAddress> local;
};
// Of a link's description; nothing when it is none.
std::optional<Vxlan> parse_vxlan(const std::string& message);
Request set_mtu(std::uint32_t index, std::uint32_t mtu);
Request set_link_mac(std::uint32_t index, const MacAddress& mac);
Request list_addresses(std::uint32_t index);
Request delete_address(std::uint32_t index, const IpAddress& address, unsigned prefix);

// An entry of a link's table of neighbours (their addresses to hardware addresses) or of a VXLAN link's of destinations
// (hardware addresses to nodes).
struct Neighbour {
  IpAddress address;
  MacAddress mac;
  auto operator<=>(const Neighbour&) const = default;
};
Request put_neighbour(std::uint32_t index, const Neighbour& neighbour);
Request delete_neighbour(std::uint32_t index, const Neighbour& neighbour);
Request put_destination(std::uint32_t index, const Neighbour& destination);
Request delete_destination(std::uint32_t index, const Neighbour& destination);
// Permanent ones.
Result<std::vector<Neighbour>> list_neighbours(NetlinkSocket& socket, std::uint32_t index, Family family);
Result<std::vector<Neighbour>> list_destinations(NetlinkSocket& socket, std::uint32_t index);

// A route to another node's pods. Its owner's are told from all others by protocol and metric.
struct NodeRoute {
  Cidr range;
  IpAddress via;
  std::uint32_t link = 0;
  bool onlink = false;              // `via` is said to be on the link, whatever routes say
  std::optional<IpAddress> source;  // that this node speaks from along it; nothing: the kernel chooses
  auto operator<=>(const NodeRoute&) const = default;
};
inline constexpr std::uint8_t kRouteProtocol = 103;  // nobody's in iproute2's rt_protos
// In the place of the owner's own route to the range, if there is one.
Request put_route(const NodeRoute& route, std::uint32_t metric);
Request delete_route(const NodeRoute& route, std::uint32_t metric);
// The owner's.
Result<std::vector<NodeRoute>> list_routes(NetlinkSocket& socket, std::uint32_t metric);

// How an address is reached by the routes that there are.
struct Way {
  std::uint32_t link = 0;
  bool is_own = false;                // it is this host's
  std::optional<IpAddress> gateway;  // nothing: it is on the link
};
// Nothing: it is not.
Result<std::optional<Way>> way_to(NetlinkSocket& socket, const IpAddress& address);

// True when some route of the host is for this very address, whoever made it.
Result<bool> is_routed(NetlinkSocket& socket, const IpAddress& address);
// The address that this network namespace speaks from along its default route, IPv4's first; nothing: there is none.
Result<std::optional<IpAddress>> default_source();
// The MTU of the link that IPv4's default route leaves by; nothing without a default route.
Result<std::optional<std::uint32_t>> default_route_mtu(NetlinkSocket& socket);

}  // namespace gantry::netns
