// SPDX-License-Identifier: Apache-2.0
#include "netns/conntrack.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <netinet/in.h>

#include <cstring>
#include <optional>
#include <utility>

#include "netns/netlink.h"

namespace gantry::netns {
namespace {

constexpr std::uint16_t kGet = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET;
constexpr std::uint16_t kDelete = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE;

nfgenmsg header_of(Family family) {
  return {.nfgen_family = static_cast<std::uint8_t>(family == Family::kV4 ? AF_INET : AF_INET6),
          .version = NFNETLINK_V0};
}

// One end of a tuple, if it is UDP's.
std::optional<std::pair<IpAddress, std::uint16_t>> end_of(const Attributes& message, int tuple, Family family,
                                                          bool source) {
  auto parts = Attributes::within(message.find(tuple), CTA_TUPLE_MAX);
  auto addresses = Attributes::within(parts.find(CTA_TUPLE_IP), CTA_IP_MAX);
  auto protocol = Attributes::within(parts.find(CTA_TUPLE_PROTO), CTA_PROTO_MAX);
  auto number = protocol.bytes(CTA_PROTO_NUM);
  if (number.size() != 1 || number[0] != IPPROTO_UDP) return std::nullopt;
  int which = family == Family::kV4 ? (source ? CTA_IP_V4_SRC : CTA_IP_V4_DST)
                                    : (source ? CTA_IP_V6_SRC : CTA_IP_V6_DST);
  auto address = IpAddress::from_bytes(addresses.bytes(which));
  auto port = protocol.bytes(source ? CTA_PROTO_SRC_PORT : CTA_PROTO_DST_PORT);
  if (!address || port.size() != 2) return std::nullopt;
  return std::pair(*address, static_cast<std::uint16_t>(port[0] << 8 | port[1]));
}

std::optional<UdpFlow> flow_of(const std::string& message, Family family) {
  auto attributes = Attributes::of(message, sizeof(nfgenmsg), CTA_MAX);
  auto to = end_of(attributes, CTA_TUPLE_ORIG, family, false);
  auto from = end_of(attributes, CTA_TUPLE_REPLY, family, true);
  if (!to || !from) return std::nullopt;
  return UdpFlow{to->first, to->second, from->first, from->second};
}

}  // namespace

Result<std::size_t> forget_udp_flows(Family family, const std::function<bool(const UdpFlow&)>& is_unwanted) {
  auto socket = NetlinkSocket::open(NETLINK_NETFILTER);
  if (!socket) return std::unexpected(std::move(socket.error()));
  Request list("list tracked connections", kGet, 0);
  list.header(header_of(family));
  auto unwanted = socket->dump(std::move(list), [&](const nlmsghdr& header) {
    auto flow = flow_of(std::string(reinterpret_cast<const char*>(&header), header.nlmsg_len), family);
    return flow && is_unwanted(*flow);
  });
  if (!unwanted) return std::unexpected(std::move(unwanted.error()));
  for (const std::string& message : *unwanted) {
    auto attributes = Attributes::of(message, sizeof(nfgenmsg), CTA_MAX);
    Request forget("forget a tracked connection", kDelete, 0);
    forget.header(header_of(family));
    // The id as well: a flow of the same addresses that came since is another one.
    for (int type : {CTA_TUPLE_ORIG, CTA_ZONE, CTA_ID}) {
      int nested = type == CTA_TUPLE_ORIG ? NLA_F_NESTED : 0;
      if (attributes.find(type) != nullptr) forget.put(type | nested, attributes.bytes(type));
    }
    auto done = socket->send(std::move(forget));
    if (!done && !done.error().is_not_found()) return std::unexpected(std::move(done.error()));
  }
  return unwanted->size();
}

}  // namespace gantry::netns
