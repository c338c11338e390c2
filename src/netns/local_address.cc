// SPDX-License-Identifier: Apache-2.0
#include "netns/local_address.h"

#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "netns/netlink.h"

namespace gantry::netns {
namespace {

constexpr std::uint32_t kLoopback = 1;  // its number in every network namespace
// IFA_PROTO, Linux 5.18; Debian 12's headers have no name for it.
constexpr int kProtocol = 11;
constexpr std::uint8_t kOurs = 0x67;

std::string label_of(std::string_view instance) { return "lo:gt" + std::string(instance.substr(0, 8)); }

ifaddrmsg header_of(const IpAddress& address) {
  ifaddrmsg header{};
  header.ifa_family = static_cast<std::uint8_t>(address.address_family());
  header.ifa_prefixlen = static_cast<std::uint8_t>(address.bits());
  header.ifa_index = kLoopback;
  // Never a source for what goes elsewhere: links without an address of their own borrow one, and lo is the first.
  if (address.is_v4()) header.ifa_scope = RT_SCOPE_HOST;
  if (!address.is_v4()) header.ifa_flags = IFA_F_NODAD;
  return header;
}

Request make(const IpAddress& address, std::string_view instance) {
  Request request("give lo the address " + address.to_string(), RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
  request.header(header_of(address)).put(IFA_LOCAL, address.bytes()).put(IFA_ADDRESS, address.bytes());
  if (address.is_v4()) {
    request.put_string(IFA_LABEL, label_of(instance));
  } else {
    request.put_u8(kProtocol, kOurs);
  }
  return request;
}

Request remove(const IpAddress& address) {
  Request request("take the address " + address.to_string() + " from lo", RTM_DELADDR, 0);
  request.header(header_of(address)).put(IFA_LOCAL, address.bytes()).put(IFA_ADDRESS, address.bytes());
  return request;
}

// Those of lo with our mark.
Result<std::vector<IpAddress>> held(NetlinkSocket& socket, std::string_view instance) {
  ifaddrmsg all{};
  Request request("list addresses", RTM_GETADDR, 0);
  request.header(all);
  auto is_address = [](const nlmsghdr& message) { return message.nlmsg_type == RTM_NEWADDR; };
  auto replies = socket.dump(std::move(request), is_address);
  if (!replies) return std::unexpected(std::move(replies.error()));
  std::vector<IpAddress> addresses;
  for (const std::string& reply : *replies) {
    ifaddrmsg header;
    if (reply.size() < NLMSG_HDRLEN + sizeof(header)) continue;
    std::memcpy(&header, reply.data() + NLMSG_HDRLEN, sizeof(header));
    if (header.ifa_index != kLoopback) continue;
    const auto attributes = Attributes::of(reply, sizeof(header), kProtocol);
    const auto protocol = attributes.bytes(kProtocol);
    const bool is_ours = header.ifa_family == AF_INET ? attributes.string(IFA_LABEL) == label_of(instance)
                                                      : !protocol.empty() && protocol[0] == kOurs;
    auto bytes = attributes.bytes(header.ifa_family == AF_INET ? IFA_LOCAL : IFA_ADDRESS);
    auto address = IpAddress::from_bytes(bytes);
    if (is_ours && address) addresses.push_back(*address);
  }
  return addresses;
}

}  // namespace

Status hold_local_addresses(const std::vector<IpAddress>& addresses, std::string_view instance) {
  auto socket = NetlinkSocket::open(NETLINK_ROUTE);
  if (!socket) return std::unexpected(std::move(socket.error()));
  auto now = held(*socket, instance);
  if (!now) return std::unexpected(std::move(now.error()));
  for (const IpAddress& address : addresses) {
    if (std::ranges::find(*now, address) != now->end()) continue;
    auto made = socket->send(make(address, instance));
    if (!made && !made.error().is_already_exists()) return made;
  }
  for (const IpAddress& address : *now) {
    if (std::ranges::find(addresses, address) != addresses.end()) continue;
    auto removed = socket->send(remove(address));
    if (!removed && !removed.error().is_not_found() && removed.error().sys() != EADDRNOTAVAIL) return removed;
  }
  return {};
}

}  // namespace gantry::netns
