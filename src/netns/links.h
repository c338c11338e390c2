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

// True when some route of the host is for this very address, whoever made it.
Result<bool> is_routed(NetlinkSocket& socket, const IpAddress& address);
// The address that this network namespace speaks from along its default route, IPv4's first; nothing: there is none.
Result<std::optional<IpAddress>> default_source();
// The MTU of the link that IPv4's default route leaves by; nothing without a default route.
Result<std::optional<std::uint32_t>> default_route_mtu(NetlinkSocket& socket);

}  // namespace gantry::netns
