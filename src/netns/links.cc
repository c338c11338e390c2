// SPDX-License-Identifier: Apache-2.0
#include "netns/links.h"

#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "sys/file.h"

namespace gantry::netns {
namespace {

constexpr std::string_view kAliasPrefix = "gantry:";

template <typename Header>
Header fixed_header(const std::string& message) {
  Header header{};
  if (message.size() >= NLMSG_LENGTH(sizeof(header))) {
    std::memcpy(&header, message.data() + NLMSG_HDRLEN, sizeof(header));
  }
  return header;
}

// FNV-1a, finished so that every bit of the text reaches every bit of the result. It is part of what outlives a gantryd
// (link names, groups): it never changes.
std::uint64_t stable_hash(std::string_view kind, std::string_view first, std::string_view second) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  auto mix = [&hash](std::string_view text) {
    for (char c : text) hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001b3ULL;
    hash = (hash ^ 0xff) * 0x100000001b3ULL;  // no id has this byte: "ab"+"c" is not "a"+"bc"
  };
  mix(kind);
  mix(first);
  mix(second);
  hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdULL;
  hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53ULL;
  return hash ^ hash >> 33;
}

MacAddress mac_from(std::uint8_t first, std::uint64_t hash) {
  MacAddress mac{first};
  for (std::size_t i = 1; i < mac.size(); ++i) mac[i] = static_cast<std::uint8_t>(hash >> (8 * i));
  return mac;
}

Request link_request(std::string what, std::uint16_t type, std::uint16_t flags, const ifinfomsg& header) {
  return std::move(Request(std::move(what), type, flags).header(header));
}

ifinfomsg link_of(std::uint32_t index) { return {.ifi_index = static_cast<int>(index)}; }

}  // namespace

LinkMarks::LinkMarks(std::string instance) : instance_(std::move(instance)) {
  group_ = static_cast<std::uint32_t>(stable_hash("group", instance_, "") & 0x7fffffff) | 1;
}

std::string LinkMarks::host_name(std::string_view sandbox_id) const {
  constexpr char kDigits[] = "0123456789abcdefghijklmnopqrstuv";
  std::uint64_t hash = stable_hash("name", instance_, sandbox_id);
  std::string name = "gt";
  for (int i = 0; i < 13; ++i, hash >>= 5) name += kDigits[hash & 31];
  static_assert(IFNAMSIZ == 16);
  return name;
}

// No hash of a sandbox's is as short.
std::string LinkMarks::overlay_name() const { return absl::StrFormat("gtvx%08x", group_); }

std::string LinkMarks::overlay_alias() const { return absl::StrCat(std::string(kAliasPrefix), instance_, ":overlay"); }

std::string LinkMarks::alias(std::string_view sandbox_id, const std::vector<IpAddress>& addresses) const {
  std::string alias = absl::StrCat(std::string(kAliasPrefix), instance_, ":", std::string(sandbox_id));
  char separator = ':';
  for (const IpAddress& address : addresses) {
    alias += separator;
    alias += address.to_string();
    separator = ',';
  }
  return alias;
}

MacAddress LinkMarks::host_mac(std::string_view sandbox_id) const {
  return mac_from(0x06, stable_hash("mac", instance_, sandbox_id));
}

MacAddress LinkMarks::pod_mac(std::string_view sandbox_id) const {
  return mac_from(0x02, stable_hash("mac", instance_, sandbox_id));
}

bool LinkMarks::is_unmarked(const Link& link, std::string_view sandbox_id) const {
  return link.alias.empty() && link.kind == "veth" && (link.group == group_ || link.group == ending_group()) &&
         link.name == host_name(sandbox_id);
}

std::optional<AliasParts> parse_alias(std::string_view alias) {
  if (!alias.starts_with(kAliasPrefix)) return std::nullopt;
  alias.remove_prefix(kAliasPrefix.size());
  auto first = alias.find(':');
  if (first == std::string_view::npos || first == 0) return std::nullopt;
  AliasParts parts;
  parts.instance = alias.substr(0, first);
  alias.remove_prefix(first + 1);
  auto second = alias.find(':');
  parts.sandbox_id = alias.substr(0, second);
  if (parts.sandbox_id.empty()) return std::nullopt;
  if (second == std::string_view::npos) return parts;
  for (alias.remove_prefix(second + 1);;) {
    auto comma = alias.find(',');
    auto address = IpAddress::parse(alias.substr(0, comma));
    if (!address) return std::nullopt;
    parts.addresses.push_back(*address);
    if (comma == std::string_view::npos) return parts;
    alias.remove_prefix(comma + 1);
  }
}

Request make_veth(const VethRequest& veth) {
  Request request(absl::StrCat("make link ", veth.host_name), RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  request.header(ifinfomsg{})
      .put_string(IFLA_IFNAME, veth.host_name)
      .put(IFLA_ADDRESS, veth.host_mac)
      .put_u32(IFLA_MTU, veth.mtu)
      .put_u32(IFLA_GROUP, veth.group)
      .nest(IFLA_LINKINFO, [&veth](Request& info) {
        info.put_string(IFLA_INFO_KIND, "veth").nest(IFLA_INFO_DATA, [&veth](Request& data) {
          data.nest(VETH_INFO_PEER, [&veth](Request& peer) {
            peer.header(ifinfomsg{})
                .put_string(IFLA_IFNAME, "eth0")
                .put(IFLA_ADDRESS, veth.pod_mac)
                .put_u32(IFLA_MTU, veth.mtu)
                .put_u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(veth.pod_netns.get()));
          });
        });
      });
  return request;
}

Request set_alias(const std::string& name, const std::string& alias) {
  Request request = link_request(absl::StrCat("set alias of link ", name), RTM_SETLINK, 0, {});
  request.put_string(IFLA_IFNAME, name).put(IFLA_IFALIAS, alias.data(), alias.size());
  return request;
}

Request set_host_policy(const std::string& name) {
  Request request = link_request(absl::StrCat("set IPv4 settings of link ", name), RTM_SETLINK, 0, {});
  request.put_string(IFLA_IFNAME, name).nest(IFLA_AF_SPEC, [](Request& families) {
    families.nest(AF_INET, [](Request& inet) {
      inet.nest(IFLA_INET_CONF, [](Request& settings) {
        settings.put_u32(IPV4_DEVCONF_RP_FILTER, 1)
            .put_u32(IPV4_DEVCONF_FORWARDING, 1)
            .put_u32(IPV4_DEVCONF_ACCEPT_REDIRECTS, 0)
            .put_u32(IPV4_DEVCONF_SEND_REDIRECTS, 0)
            .put_u32(IPV4_DEVCONF_ARP_IGNORE, 1);
      });
    });
  });
  return request;
}

Status close_ipv6(const std::string& name) {
  for (auto [setting, value] : {std::pair{"accept_ra", "0"}, std::pair{"disable_ipv6", "1"}}) {
    const std::string path = absl::StrCat("/proc/sys/net/ipv6/conf/", name, "/", setting);
    auto set = sys::write_file(sys::kCwd, path.c_str(), value);
    if (!set && !set.error().is_not_found()) return set;  // not there: a kernel without IPv6
  }
  return {};
}

Request set_no_auto_address(std::uint32_t index) {
  Request request = link_request(absl::StrCat("set IPv6 settings of link ", index), RTM_SETLINK, 0, link_of(index));
  request.nest(IFLA_AF_SPEC, [](Request& families) {
    families.nest(AF_INET6, [](Request& inet) { inet.put_u8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE); });
  });
  return request;
}

Request set_up(std::uint32_t index) {
  ifinfomsg header = link_of(index);
  header.ifi_flags = IFF_UP;
  header.ifi_change = IFF_UP;
  return link_request(absl::StrCat("set link ", index, " up"), RTM_SETLINK, 0, header);
}

Request delete_link(std::uint32_t index) {
  return link_request(absl::StrCat("delete link ", index), RTM_DELLINK, 0, link_of(index));
}

Request set_group(std::uint32_t index, std::uint32_t group) {
  Request request = link_request(absl::StrCat("set the group of link ", index), RTM_SETLINK, 0, link_of(index));
  request.put_u32(IFLA_GROUP, group);
  return request;
}

Request delete_group(std::uint32_t group) {
  Request request = link_request(absl::StrCat("delete links of group ", group), RTM_DELLINK, 0, {});
  request.put_u32(IFLA_GROUP, group);
  return request;
}

Request get_link(const std::string& name) {
  Request request = link_request(absl::StrCat("look up link ", name), RTM_GETLINK, 0, {});
  request.put_string(IFLA_IFNAME, name);
  return request;
}

Request list_veths() {
  Request request = link_request("list links", RTM_GETLINK, 0, {});
  request.nest(IFLA_LINKINFO, [](Request& info) { info.put_string(IFLA_INFO_KIND, "veth"); });
  return request;
}

Result<Link> parse_link(const std::string& message) {
  auto header = fixed_header<ifinfomsg>(message);
  if (header.ifi_index <= 0) return fail(Code::kInternal, "the kernel described a link without an index");
  auto attributes = Attributes::of(message, sizeof(header), IFLA_MAX);
  auto info = Attributes::within(attributes.find(IFLA_LINKINFO), IFLA_INFO_MAX);
  return Link{.index = static_cast<std::uint32_t>(header.ifi_index),
              .peer_index = attributes.u32(IFLA_LINK),
              .group = attributes.u32(IFLA_GROUP),
              .mtu = attributes.u32(IFLA_MTU),
              .up = (header.ifi_flags & IFF_UP) != 0,
              .name = attributes.string(IFLA_IFNAME),
              .alias = attributes.string(IFLA_IFALIAS),
              .kind = info.string(IFLA_INFO_KIND)};
}

Request add_address(std::uint32_t index, const IpAddress& address) {
  ifaddrmsg header{.ifa_family = static_cast<std::uint8_t>(address.address_family()),
                   .ifa_prefixlen = static_cast<std::uint8_t>(address.bits()),
                   .ifa_index = index};
  Request request(absl::StrCat("add address ", address.to_string(), " to link ", index), RTM_NEWADDR,
                  NLM_F_CREATE | NLM_F_EXCL);
  request.header(header).put(IFA_LOCAL, address.bytes()).put(IFA_ADDRESS, address.bytes());
  return request;
}

Request add_neighbour(std::uint32_t index, const IpAddress& address, const MacAddress& mac) {
  ndmsg header{.ndm_family = static_cast<std::uint8_t>(address.address_family()),
               .ndm_ifindex = static_cast<int>(index),
               .ndm_state = NUD_PERMANENT};
  Request request(absl::StrCat("add neighbour ", address.to_string(), " on link ", index), RTM_NEWNEIGH,
                  NLM_F_CREATE | NLM_F_REPLACE);
  request.header(header).put(NDA_DST, address.bytes()).put(NDA_LLADDR, mac);
  return request;
}

Request list_addresses(std::uint32_t index) {
  Request request(absl::StrCat("list addresses of link ", index), RTM_GETADDR, 0);
  request.header(ifaddrmsg{.ifa_family = AF_UNSPEC});
  return request;
}

Request delete_address(std::uint32_t index, const IpAddress& address, unsigned prefix) {
  ifaddrmsg header{.ifa_family = static_cast<std::uint8_t>(address.address_family()),
                   .ifa_prefixlen = static_cast<std::uint8_t>(prefix),
                   .ifa_index = index};
  Request request(absl::StrCat("delete address ", address.to_string(), " of link ", index), RTM_DELADDR, 0);
  request.header(header).put(IFA_LOCAL, address.bytes()).put(IFA_ADDRESS, address.bytes());
  return request;
}

namespace {

rtmsg route_header(const IpAddress& any_address, unsigned prefix, std::uint8_t scope) {
  return {.rtm_family = static_cast<std::uint8_t>(any_address.address_family()),
          .rtm_dst_len = static_cast<std::uint8_t>(prefix),
          .rtm_table = RT_TABLE_MAIN,
          .rtm_protocol = RTPROT_STATIC,
          .rtm_scope = scope,
          .rtm_type = RTN_UNICAST};
}

}  // namespace

Request add_link_route(std::uint32_t index, const IpAddress& destination, const IpAddress& source) {
  Request request(absl::StrCat("add route to ", destination.to_string(), " on link ", index), RTM_NEWROUTE,
                  NLM_F_CREATE | NLM_F_EXCL);
  request.header(route_header(destination, destination.bits(), RT_SCOPE_LINK))
      .put(RTA_DST, destination.bytes())
      .put(RTA_PREFSRC, source.bytes())
      .put_u32(RTA_OIF, index);
  return request;
}

Request add_default_route(std::uint32_t index, const IpAddress& gateway, const IpAddress& source) {
  Request request(absl::StrCat("add default route by ", gateway.to_string(), " on link ", index), RTM_NEWROUTE,
                  NLM_F_CREATE | NLM_F_EXCL);
  request.header(route_header(gateway, 0, RT_SCOPE_UNIVERSE))
      .put(RTA_GATEWAY, gateway.bytes())
      .put(RTA_PREFSRC, source.bytes())
      .put_u32(RTA_OIF, index);
  return request;
}

namespace {

// Empty: no route, or one of type unreachable, blackhole or prohibit, as hosts have for whole ranges.
Result<NetlinkSocket::Replies> look_up_route(NetlinkSocket& socket, const IpAddress& destination, unsigned flags) {
  rtmsg header{.rtm_family = static_cast<std::uint8_t>(destination.address_family()),
               .rtm_dst_len = static_cast<std::uint8_t>(destination.bits()),
               .rtm_flags = flags};
  Request request(absl::StrCat("look up route to ", destination.to_string()), RTM_GETROUTE, 0);
  request.header(header).put(RTA_DST, destination.bytes());
  auto replies = socket.exchange(std::move(request));
  for (int none : {ENETUNREACH, EHOSTUNREACH, EINVAL, EACCES}) {
    if (!replies && replies.error().sys() == none) return NetlinkSocket::Replies();
  }
  return replies;
}

// The address that the host speaks from to `destination`; nothing when no route leads there.
Result<std::optional<IpAddress>> source_towards(NetlinkSocket& socket, const IpAddress& destination) {
  auto replies = look_up_route(socket, destination, 0);
  if (!replies) return std::unexpected(std::move(replies.error()));
  if (replies->empty()) return std::nullopt;
  auto source = IpAddress::from_bytes(Attributes::of(replies->front(), sizeof(rtmsg), RTA_MAX).bytes(RTA_PREFSRC));
  return source ? std::optional(*source) : std::nullopt;
}

}  // namespace

Result<std::optional<Way>> way_to(NetlinkSocket& socket, const IpAddress& address) {
  auto replies = look_up_route(socket, address, 0);
  if (!replies) return std::unexpected(std::move(replies.error()));
  if (replies->empty()) return std::nullopt;
  auto header = fixed_header<rtmsg>(replies->front());
  auto attributes = Attributes::of(replies->front(), sizeof(header), RTA_MAX);
  Way way{.link = attributes.u32(RTA_OIF), .is_own = header.rtm_type == RTN_LOCAL};
  auto gateway = IpAddress::from_bytes(attributes.bytes(RTA_GATEWAY));
  if (gateway) way.gateway = *gateway;
  // An IPv4 route by an IPv6 gateway has it in another form.
  if (!gateway && attributes.find(RTA_VIA) != nullptr) way.gateway = address;
  if (!way.is_own && header.rtm_type != RTN_UNICAST) return std::nullopt;
  return way;
}

// Should an unreachable or prohibited route be for this very address, adding ours will say so.
Result<bool> is_routed(NetlinkSocket& socket, const IpAddress& address) {
  // With that flag the answer is the route that matched, not its use.
  auto replies = look_up_route(socket, address, RTM_F_FIB_MATCH);
  if (!replies) return std::unexpected(std::move(replies.error()));
  return !replies->empty() && fixed_header<rtmsg>(replies->front()).rtm_dst_len == address.bits();
}

Result<std::optional<IpAddress>> default_source() {
  auto socket = NetlinkSocket::open(NETLINK_ROUTE);
  if (!socket) return std::unexpected(std::move(socket.error()));
  // Reserved for documentation: no route but the default one leads there.
  for (const char* anywhere : {"203.0.113.1", "2001:db8::1"}) {
    auto source = source_towards(*socket, *IpAddress::parse(anywhere));
    if (!source || *source) return source;
  }
  return std::nullopt;
}

Result<std::optional<std::uint32_t>> default_route_mtu(NetlinkSocket& socket) {
  Request list("list routes", RTM_GETROUTE, 0);
  list.header(rtmsg{.rtm_family = AF_INET});
  auto replies = socket.dump(std::move(list), [](const nlmsghdr& message) {
    const auto* route = static_cast<const rtmsg*>(NLMSG_DATA(&message));
    return message.nlmsg_len >= NLMSG_LENGTH(sizeof(rtmsg)) && route->rtm_dst_len == 0 &&
           route->rtm_type == RTN_UNICAST && route->rtm_table == RT_TABLE_MAIN;
  });
  if (!replies) return std::unexpected(std::move(replies.error()));
  std::optional<std::uint32_t> index;
  std::uint32_t best = 0;
  for (const std::string& reply : *replies) {
    auto attributes = Attributes::of(reply, sizeof(rtmsg), RTA_MAX);
    std::uint32_t metric = attributes.u32(RTA_PRIORITY);
    std::uint32_t out = attributes.u32(RTA_OIF);
    if (out == 0) {  // several next hops: the first one's link
      auto hops = attributes.bytes(RTA_MULTIPATH);
      if (hops.size() >= sizeof(rtnexthop))
        out = static_cast<std::uint32_t>(reinterpret_cast<const rtnexthop*>(hops.data())->rtnh_ifindex);
    }
    if (out != 0 && (!index || metric < best)) {
      index = out;
      best = metric;
    }
  }
  if (!index) return std::nullopt;
  auto answer = socket.exchange(link_request(absl::StrCat("look up link ", *index), RTM_GETLINK, 0, link_of(*index)));
  if (!answer) return std::unexpected(std::move(answer.error()));
  if (answer->empty()) return fail(Code::kInternal, absl::StrCat("no description of link ", *index));
  auto link = parse_link(answer->front());
  if (!link) return std::unexpected(std::move(link.error()));
  return link->mtu;
}

// ---- to other nodes

// Of an IPv4 address there is room for all of it, so that no two nodes have the same.
MacAddress overlay_mac(const IpAddress& node) {
  auto bytes = node.bytes();
  if (node.is_v4()) return {0x0a, 0x67, bytes[0], bytes[1], bytes[2], bytes[3]};
  return mac_from(0x0e, stable_hash("overlay", node.to_string(), ""));
}

Request make_vxlan(const VxlanRequest& vxlan) {
  Request request(absl::StrCat("make link ", vxlan.name), RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  request.header(ifinfomsg{})
      .put_string(IFLA_IFNAME, vxlan.name)
      .put(IFLA_ADDRESS, vxlan.mac)
      .put_u32(IFLA_MTU, vxlan.mtu)
      .put_u32(IFLA_GROUP, vxlan.group)
      .nest(IFLA_LINKINFO, [&vxlan](Request& info) {
        info.put_string(IFLA_INFO_KIND, "vxlan").nest(IFLA_INFO_DATA, [&vxlan](Request& data) {
          const std::uint16_t port = htons(vxlan.port);
          data.put_u32(IFLA_VXLAN_ID, vxlan.vni)
              .put(IFLA_VXLAN_PORT, &port, sizeof(port))
              .put_u8(IFLA_VXLAN_LEARNING, 0);
          if (vxlan.local) {
            data.put(vxlan.underlay == Family::kV4 ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6, vxlan.local->bytes());
          } else if (vxlan.underlay == Family::kV6) {
            data.put(IFLA_VXLAN_LOCAL6, in6addr_any.s6_addr, sizeof(in6addr_any.s6_addr));
          }
        });
      });
  return request;
}

std::optional<Vxlan> parse_vxlan(const std::string& message) {
  auto link = parse_link(message);
  if (!link || link->kind != "vxlan") return std::nullopt;
  auto attributes = Attributes::of(message, sizeof(ifinfomsg), IFLA_MAX);
  auto info = Attributes::within(attributes.find(IFLA_LINKINFO), IFLA_INFO_MAX);
  auto data = Attributes::within(info.find(IFLA_INFO_DATA), IFLA_VXLAN_MAX);
  Vxlan vxlan{.link = std::move(*link), .mac = {}, .vni = data.u32(IFLA_VXLAN_ID)};
  auto mac = attributes.bytes(IFLA_ADDRESS);
  if (mac.size() == vxlan.mac.size()) std::memcpy(vxlan.mac.data(), mac.data(), mac.size());
  if (auto port = data.bytes(IFLA_VXLAN_PORT); port.size() == 2) {
    vxlan.port = static_cast<std::uint16_t>(port[0] << 8 | port[1]);
  }
  for (int type : {IFLA_VXLAN_LOCAL, IFLA_VXLAN_LOCAL6}) {
    auto local = IpAddress::from_bytes(data.bytes(type));
    if (local) vxlan.local = *local;
  }
  return vxlan;
}

Request set_mtu(std::uint32_t index, std::uint32_t mtu) {
  Request request = link_request(absl::StrCat("set the MTU of link ", index), RTM_SETLINK, 0, link_of(index));
  request.put_u32(IFLA_MTU, mtu);
  return request;
}

Request set_link_mac(std::uint32_t index, const MacAddress& mac) {
  Request request = link_request(absl::StrCat("set the address of link ", index), RTM_SETLINK, 0, link_of(index));
  request.put(IFLA_ADDRESS, mac);
  return request;
}

namespace {

enum class Table { kNeighbours, kDestinations };

Request neighbour_request(const char* verb, std::uint16_t type, std::uint16_t flags, Table table, std::uint32_t index,
                          const Neighbour& entry) {
  const bool is_destination = table == Table::kDestinations;
  ndmsg header{.ndm_family = static_cast<std::uint8_t>(is_destination ? AF_BRIDGE : entry.address.address_family()),
               .ndm_ifindex = static_cast<int>(index),
               .ndm_state = static_cast<std::uint16_t>(is_destination ? NUD_PERMANENT | NUD_NOARP : NUD_PERMANENT),
               .ndm_flags = static_cast<std::uint8_t>(is_destination ? NTF_SELF : 0)};
  Request request(absl::StrCat(verb, is_destination ? " destination " : " neighbour ", entry.address.to_string(),
                               " of link ", index),
                  type, flags);
  request.header(header).put(NDA_DST, entry.address.bytes()).put(NDA_LLADDR, entry.mac);
  return request;
}

Result<std::vector<Neighbour>> list_entries(NetlinkSocket& socket, std::uint32_t index, std::uint8_t family) {
  Request request(absl::StrCat("list neighbours of link ", index), RTM_GETNEIGH, 0);
  request.header(ndmsg{.ndm_family = family, .ndm_ifindex = static_cast<int>(index)});
  auto replies = socket.dump(std::move(request), [index](const nlmsghdr& message) {
    const auto* entry = static_cast<const ndmsg*>(NLMSG_DATA(&message));
    return message.nlmsg_len >= NLMSG_LENGTH(sizeof(ndmsg)) && entry->ndm_ifindex == static_cast<int>(index) &&
           (entry->ndm_state & NUD_PERMANENT) != 0;
  });
  if (!replies) return std::unexpected(std::move(replies.error()));
  std::vector<Neighbour> entries;
  for (const std::string& reply : *replies) {
    auto attributes = Attributes::of(reply, sizeof(ndmsg), NDA_MAX);
    auto address = IpAddress::from_bytes(attributes.bytes(NDA_DST));
    auto mac = attributes.bytes(NDA_LLADDR);
    if (!address || mac.size() != sizeof(MacAddress)) continue;
    Neighbour entry{.address = *address, .mac = {}};
    std::memcpy(entry.mac.data(), mac.data(), mac.size());
    entries.push_back(entry);
  }
  return entries;
}

}  // namespace

Request put_neighbour(std::uint32_t index, const Neighbour& neighbour) {
  return neighbour_request("put", RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, Table::kNeighbours, index, neighbour);
}

Request delete_neighbour(std::uint32_t index, const Neighbour& neighbour) {
  return neighbour_request("delete", RTM_DELNEIGH, 0, Table::kNeighbours, index, neighbour);
}

Request put_destination(std::uint32_t index, const Neighbour& destination) {
  return neighbour_request("put", RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, Table::kDestinations, index, destination);
}

Request delete_destination(std::uint32_t index, const Neighbour& destination) {
  return neighbour_request("delete", RTM_DELNEIGH, 0, Table::kDestinations, index, destination);
}

Result<std::vector<Neighbour>> list_neighbours(NetlinkSocket& socket, std::uint32_t index, Family family) {
  return list_entries(socket, index, static_cast<std::uint8_t>(family == Family::kV4 ? AF_INET : AF_INET6));
}

Result<std::vector<Neighbour>> list_destinations(NetlinkSocket& socket, std::uint32_t index) {
  return list_entries(socket, index, AF_BRIDGE);
}

namespace {

Request route_request(const char* verb, std::uint16_t type, std::uint16_t flags, const NodeRoute& route,
                      std::uint32_t metric) {
  rtmsg header = route_header(route.range.network(), route.range.prefix(), RT_SCOPE_UNIVERSE);
  header.rtm_protocol = kRouteProtocol;
  if (route.onlink) header.rtm_flags = RTNH_F_ONLINK;
  Request request(absl::StrCat(verb, " route to ", route.range.to_string(), " by ", route.via.to_string()), type,
                  flags);
  request.header(header)
      .put(RTA_DST, route.range.network().bytes())
      .put(RTA_GATEWAY, route.via.bytes())
      .put_u32(RTA_OIF, route.link)
      .put_u32(RTA_PRIORITY, metric);
  if (route.source) request.put(RTA_PREFSRC, route.source->bytes());
  return request;
}

}  // namespace

Request put_route(const NodeRoute& route, std::uint32_t metric) {
  return route_request("put", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route, metric);
}

Request delete_route(const NodeRoute& route, std::uint32_t metric) {
  return route_request("delete", RTM_DELROUTE, 0, route, metric);
}

Result<std::vector<NodeRoute>> list_routes(NetlinkSocket& socket, std::uint32_t metric) {
  std::vector<NodeRoute> routes;
  for (int family : {AF_INET, AF_INET6}) {
    Request list("list routes", RTM_GETROUTE, 0);
    list.header(rtmsg{.rtm_family = static_cast<std::uint8_t>(family)});
    auto replies = socket.dump(std::move(list), [](const nlmsghdr& message) {
      const auto* route = static_cast<const rtmsg*>(NLMSG_DATA(&message));
      return message.nlmsg_len >= NLMSG_LENGTH(sizeof(rtmsg)) && route->rtm_protocol == kRouteProtocol &&
             route->rtm_type == RTN_UNICAST && route->rtm_table == RT_TABLE_MAIN;
    });
    if (!replies) return std::unexpected(std::move(replies.error()));
    for (const std::string& reply : *replies) {
      auto header = fixed_header<rtmsg>(reply);
      auto attributes = Attributes::of(reply, sizeof(header), RTA_MAX);
      auto network = IpAddress::from_bytes(attributes.bytes(RTA_DST));
      auto via = IpAddress::from_bytes(attributes.bytes(RTA_GATEWAY));
      if (attributes.u32(RTA_PRIORITY) != metric || !network || !via) continue;
      auto range = Cidr::of(*network, header.rtm_dst_len);
      if (!range) continue;
      NodeRoute route{.range = *range,
                      .via = *via,
                      .link = attributes.u32(RTA_OIF),
                      .onlink = (header.rtm_flags & RTNH_F_ONLINK) != 0,
                      .source = {}};
      if (auto source = IpAddress::from_bytes(attributes.bytes(RTA_PREFSRC))) route.source = *source;
      routes.push_back(route);
    }
  }
  return routes;
}

}  // namespace gantry::netns
