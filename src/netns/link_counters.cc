// SPDX-License-Identifier: Apache-2.0
#include "netns/link_counters.h"

#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "netns/netlink.h"

namespace gantry::netns {
namespace {

constexpr std::uint32_t kNone = NETNSA_NSID_NOT_ASSIGNED;

Request about(std::string what, std::uint16_t type, FdRef netns) {
  Request request(std::move(what), type, 0);
  request.header(rtgenmsg{.rtgen_family = AF_UNSPEC}).put_u32(NETNSA_FD, static_cast<std::uint32_t>(netns.get()));
  return request;
}

// The number that this namespace has for `netns`; nothing when it has none yet.
Result<std::optional<std::uint32_t>> number_of(NetlinkSocket& socket, FdRef netns) {
  auto replies = socket.exchange(about("ask for a network namespace's number", RTM_GETNSID, netns));
  if (!replies) return std::unexpected(std::move(replies.error()));
  for (const std::string& reply : *replies) {
    auto attributes = Attributes::of(reply, sizeof(rtgenmsg), NETNSA_MAX);
    if (attributes.find(NETNSA_NSID) == nullptr) continue;
    std::uint32_t number = attributes.u32(NETNSA_NSID);
    return number == kNone ? std::nullopt : std::optional(number);
  }
  return std::nullopt;
}

std::optional<LinkCounters> counters_of(const std::string& message) {
  auto attributes = Attributes::of(message, sizeof(ifinfomsg), IFLA_MAX);
  auto bytes = attributes.bytes(IFLA_STATS64);
  rtnl_link_stats64 stats{};
  // Older kernels have fewer counters, newer ones more; these are the first.
  if (bytes.size() < offsetof(rtnl_link_stats64, multicast)) return std::nullopt;
  std::memcpy(&stats, bytes.data(), std::min(bytes.size(), sizeof(stats)));
  return LinkCounters{.name = attributes.string(IFLA_IFNAME),
                      .rx_bytes = stats.rx_bytes,
                      .rx_packets = stats.rx_packets,
                      .rx_errors = stats.rx_errors,
                      .rx_dropped = stats.rx_dropped,
                      .tx_bytes = stats.tx_bytes,
                      .tx_packets = stats.tx_packets,
                      .tx_errors = stats.tx_errors,
                      .tx_dropped = stats.tx_dropped};
}

}  // namespace

Result<std::vector<LinkCounters>> read_link_counters(FdRef netns) {
  auto socket = NetlinkSocket::open(NETLINK_ROUTE);
  if (!socket) return std::unexpected(std::move(socket.error()));
  auto number = number_of(*socket, netns);
  if (number && !*number) {
    auto made =
        socket->send(std::move(about("number a network namespace", RTM_NEWNSID, netns).put_u32(NETNSA_NSID, kNone)));
    // Somebody else's call may have been first.
    if (!made && !made.error().is_already_exists()) return std::unexpected(std::move(made.error()));
    number = number_of(*socket, netns);
  }
  if (!number) return std::unexpected(std::move(number.error()));
  if (!*number) return fail(Code::kInternal, "the network namespace got no number");
  Request request("list links", RTM_GETLINK, 0);
  request.header(ifinfomsg{}).put_u32(IFLA_TARGET_NETNSID, **number);
  std::size_t kept = 0;
  auto messages = socket->dump(std::move(request), [&kept](const nlmsghdr& header) {
    return header.nlmsg_type == RTM_NEWLINK && kept++ <= kMaxLinks;
  });
  if (!messages) return std::unexpected(std::move(messages.error()));
  std::vector<LinkCounters> found;
  for (const std::string& message : *messages) {
    auto link = counters_of(message);
    if (link && link->name != "lo" && found.size() < kMaxLinks) found.push_back(std::move(*link));
  }
  return found;
}

}  // namespace gantry::netns
