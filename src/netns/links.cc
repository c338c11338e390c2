// SPDX-License-Identifier: Apache-2.0
#include "netns/links.h"

#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

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

}  // namespace gantry::netns
