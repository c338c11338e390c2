// SPDX-License-Identifier: Apache-2.0
#include "netns/node_routes.h"

#include <linux/if_addr.h>
#include <linux/netlink.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"

namespace gantry::netns {
namespace {

constexpr std::uint32_t kOverheadV4 = 50, kOverheadV6 = 70;  // of a packet in VXLAN: Ethernet, VXLAN, UDP, IP
constexpr std::uint32_t kMinMtu = 576;
// How many requests go to the kernel in one system call.
constexpr std::size_t kBatch = 64;

const IpAddress* of_family(std::span<const IpAddress> addresses, Family family) {
  auto found = std::ranges::find_if(addresses, [family](const IpAddress& each) { return each.family() == family; });
  return found == addresses.end() ? nullptr : &*found;
}

Status send_all(NetlinkSocket& socket, std::vector<Request> requests) {
  for (std::span<Request> rest = requests; !rest.empty();) {
    const std::size_t count = std::min(rest.size(), kBatch);
    if (auto sent = socket.send(rest.first(count)); !sent) return sent;
    rest = rest.subspan(count);
  }
  return {};
}

// As sets: what is wanted and not there, and what is there and not wanted.
template <typename T>
struct Difference {
  Difference(std::vector<T> wanted, std::vector<T> there) {
    std::ranges::sort(wanted);
    std::ranges::sort(there);
    std::ranges::set_difference(wanted, there, std::back_inserter(missing));
    std::ranges::set_difference(there, wanted, std::back_inserter(surplus));
  }
  std::vector<T> missing, surplus;
};

// Of entries that are found by their key alone, one that is replaced is not surplus.
template <typename T, typename Key>
void keep_replaced(Difference<T>& difference, Key key) {
  std::erase_if(difference.surplus, [&](const T& each) {
    return std::ranges::any_of(difference.missing, [&](const T& other) { return key(other) == key(each); });
  });
}

// The end of the overlay that leads to a range: the gateway of its pods.
IpAddress overlay_end(const Cidr& range) { return range.network().plus(1).value_or(range.network()); }

}  // namespace

std::vector<IpAddress> NodePaths::overlay_nodes() const {
  std::vector<IpAddress> nodes;
  if (overlay) {
    for (const Neighbour& each : overlay->destinations) nodes.push_back(each.address);
  }
  return nodes;
}

std::uint32_t NodeRoutes::overlay_mtu(Family underlay) const {
  const std::uint32_t overhead = underlay == Family::kV4 ? kOverheadV4 : kOverheadV6;
  return std::max(kMinMtu, mtu_ - std::min(mtu_, overhead));
}

// By the node's own address, where that is on a link. False: it is not.
Result<bool> NodeRoutes::plan_direct(NetlinkSocket& socket, const PeerNode& peer, const Cidr& range, NodePaths& paths) {
  const IpAddress* address = of_family(peer.addresses, range.family());
  if (address == nullptr) return false;
  auto way = way_to(socket, *address);
  if (!way) return std::unexpected(std::move(way.error()));
  if (!*way || (*way)->gateway) return false;
  if ((*way)->is_own) {
    paths.unreached.push_back({peer.name, absl::StrCat("its address ", address->to_string(), " is this host's")});
  } else {
    paths.routes.push_back({.range = range, .via = *address, .link = (*way)->link, .onlink = false, .source = {}});
  }
  return true;
}

// A node that has no address or no gateway itself is not ready for it.
Status NodeRoutes::plan_overlay(NetlinkSocket& socket, const OwnNode& own, std::span<const IpAddress> gateways,
                                const PeerNode& peer, const Cidr& range, NodePaths& paths) {
  const IpAddress* gateway = of_family(gateways, range.family());
  if (own.addresses.empty() || gateway == nullptr) return {};
  const IpAddress& here = own.addresses.front();
  const IpAddress* there = of_family(peer.addresses, here.family());
  if (there == nullptr) {
    paths.unreached.push_back({peer.name, absl::StrCat("it has no address of the family of ", here.to_string())});
    return {};
  }
  if (!paths.overlay) {
    auto way = way_to(socket, here);
    if (!way) return std::unexpected(std::move(way.error()));
    const bool is_here = *way && (*way)->is_own;
    paths.overlay = NodePaths::Overlay{.mtu = overlay_mtu(here.family()),
                                       .mac = overlay_mac(here),
                                       .underlay = here.family(),
                                       // Others take its packets from this address alone.
                                       .local = is_here ? std::optional(here) : std::nullopt,
                                       .addresses = {gateways.begin(), gateways.end()},
                                       .neighbours = {},
                                       .destinations = {}};
  }
  const IpAddress end = overlay_end(range);
  paths.overlay->neighbours.push_back({end, overlay_mac(*there)});
  paths.overlay->destinations.push_back({*there, overlay_mac(*there)});
  paths.routes.push_back({.range = range, .via = end, .link = 0, .onlink = true, .source = *gateway});
  return {};
}

Result<NodePaths> NodeRoutes::plan(RouteMode mode, const OwnNode& own, std::span<const IpAddress> gateways,
                                   std::span<const PeerNode> peers) {
  auto socket = NetlinkSocket::open(NETLINK_ROUTE);
  if (!socket) return std::unexpected(std::move(socket.error()));
  NodePaths paths;
  for (const PeerNode& peer : peers) {
    for (const Cidr& range : peer.ranges) {
      Result<bool> planned = mode == RouteMode::kVxlan ? false : plan_direct(*socket, peer, range, paths);
      if (!planned) return std::unexpected(std::move(planned.error()));
      if (*planned || mode == RouteMode::kDirect) continue;
      auto done = plan_overlay(*socket, own, gateways, peer, range, paths);
      if (!done) return std::unexpected(std::move(done.error()));
    }
  }
  if (paths.overlay) {
    auto& destinations = paths.overlay->destinations;
    std::ranges::sort(destinations);
    destinations.erase(std::unique(destinations.begin(), destinations.end()), destinations.end());
  }
  return paths;
}

Result<std::optional<Vxlan>> NodeRoutes::find_overlay(NetlinkSocket& socket) {
  auto replies = socket.exchange(get_link(marks_.overlay_name()));
  if (!replies) {
    if (replies.error().is_not_found()) return std::nullopt;
    return std::unexpected(std::move(replies.error()));
  }
  if (replies->empty()) return std::nullopt;
  auto vxlan = parse_vxlan(replies->front());
  // Without an alias: a kill came before it was marked, which is one system call with its making.
  if (!vxlan || vxlan->link.group != marks_.overlay_group() ||
      (!vxlan->link.alias.empty() && vxlan->link.alias != marks_.overlay_alias())) {
    return fail(Code::kFailedPrecondition, absl::StrCat("link ", marks_.overlay_name(), " is not ours"));
  }
  return vxlan;
}

Status NodeRoutes::remove_overlay(NetlinkSocket& socket) {
  auto there = find_overlay(socket);
  if (!there) return std::unexpected(std::move(there.error()));
  if (!*there) return {};
  auto removed = socket.send(delete_link((*there)->link.index));
  if (!removed && !removed.error().is_not_found()) return removed;
  return {};
}

Status NodeRoutes::ensure_addresses(NetlinkSocket& socket, std::uint32_t link, const std::vector<IpAddress>& wanted) {
  auto replies = socket.dump(list_addresses(link), [link](const nlmsghdr& message) {
    const auto* address = static_cast<const ifaddrmsg*>(NLMSG_DATA(&message));
    return message.nlmsg_len >= NLMSG_LENGTH(sizeof(ifaddrmsg)) && address->ifa_index == link &&
           address->ifa_scope == 0;
  });
  if (!replies) return std::unexpected(std::move(replies.error()));
  std::vector<IpAddress> there;
  for (const std::string& reply : *replies) {
    auto attributes = Attributes::of(reply, sizeof(ifaddrmsg), IFA_MAX);
    const int type = attributes.find(IFA_LOCAL) != nullptr ? IFA_LOCAL : IFA_ADDRESS;
    auto address = IpAddress::from_bytes(attributes.bytes(type));
    if (address) there.push_back(*address);
  }
  Difference<IpAddress> difference(wanted, std::move(there));
  std::vector<Request> requests;
  for (const IpAddress& each : difference.missing) requests.push_back(add_address(link, each));
  for (const IpAddress& each : difference.surplus) requests.push_back(delete_address(link, each, each.bits()));
  return send_all(socket, std::move(requests));
}

Status NodeRoutes::ensure_entries(NetlinkSocket& socket, std::uint32_t index, const NodePaths::Overlay& overlay) {
  std::vector<Request> requests;
  auto destinations = list_destinations(socket, index);
  if (!destinations) return std::unexpected(std::move(destinations.error()));
  Difference<Neighbour> ends(overlay.destinations, std::move(*destinations));
  keep_replaced(ends, [](const Neighbour& each) { return each.mac; });
  for (const Neighbour& each : ends.surplus) requests.push_back(delete_destination(index, each));
  for (const Neighbour& each : ends.missing) requests.push_back(put_destination(index, each));
  for (Family family : {Family::kV4, Family::kV6}) {
    auto neighbours = list_neighbours(socket, index, family);
    if (!neighbours) return std::unexpected(std::move(neighbours.error()));
    std::vector<Neighbour> wanted;
    std::ranges::copy_if(overlay.neighbours, std::back_inserter(wanted),
                         [family](const Neighbour& each) { return each.address.family() == family; });
    // Multicast's own are the kernel's.
    std::erase_if(*neighbours, [](const Neighbour& each) { return each.mac[0] != 0x0a && each.mac[0] != 0x0e; });
    Difference<Neighbour> difference(std::move(wanted), std::move(*neighbours));
    keep_replaced(difference, [](const Neighbour& each) { return each.address; });
    for (const Neighbour& each : difference.surplus) requests.push_back(delete_neighbour(index, each));
    for (const Neighbour& each : difference.missing) requests.push_back(put_neighbour(index, each));
  }
  return send_all(socket, std::move(requests));
}

Result<std::uint32_t> NodeRoutes::ensure_overlay(NetlinkSocket& socket, const NodePaths::Overlay& overlay) {
  auto there = find_overlay(socket);
  if (!there) return std::unexpected(std::move(there.error()));
  auto is_fit = [&](const Vxlan& vxlan) {
    return vxlan.vni == kVxlanId && vxlan.port == kVxlanPort && vxlan.local == overlay.local;
  };
  if (*there && !is_fit(**there)) {
    if (auto removed = socket.send(delete_link((*there)->link.index)); !removed && !removed.error().is_not_found()) {
      return std::unexpected(std::move(removed.error()));
    }
    there->reset();
  }
  const std::string name = marks_.overlay_name();
  if (!*there) {
    // One system call: no kill can come between the making and the marking.
    std::vector<Request> requests;
    requests.push_back(make_vxlan({.name = name,
                                   .mac = overlay.mac,
                                   .mtu = overlay.mtu,
                                   .group = marks_.overlay_group(),
                                   .vni = kVxlanId,
                                   .port = kVxlanPort,
                                   .underlay = overlay.underlay,
                                   .local = overlay.local}));
    requests.push_back(set_alias(name, marks_.overlay_alias()));
    if (auto made = socket.send(requests); !made) return std::unexpected(std::move(made.error()));
    there = find_overlay(socket);
    if (!there) return std::unexpected(std::move(there.error()));
    if (!*there) return fail(Code::kUnavailable, absl::StrCat("link ", name, " is gone again"));
  }
  const Vxlan& vxlan = **there;
  const std::uint32_t index = vxlan.link.index;
  std::vector<Request> requests;
  requests.push_back(set_alias(name, marks_.overlay_alias()));
  requests.push_back(set_host_policy(name));
  if (vxlan.mac != overlay.mac) requests.push_back(set_link_mac(index, overlay.mac));
  if (vxlan.link.mtu != overlay.mtu) requests.push_back(set_mtu(index, overlay.mtu));
  if (auto set = socket.send(requests); !set) return std::unexpected(std::move(set.error()));
  if (auto closed = close_ipv6(name); !closed) return std::unexpected(std::move(closed.error()));
  if (auto up = socket.send(set_up(index)); !up) return std::unexpected(std::move(up.error()));
  if (auto given = ensure_addresses(socket, index, overlay.addresses); !given)
    return std::unexpected(std::move(given.error()));

  if (auto put = ensure_entries(socket, index, overlay); !put) return std::unexpected(std::move(put.error()));
  return index;
}

Status NodeRoutes::apply(NodePaths paths) {
  auto socket = NetlinkSocket::open(NETLINK_ROUTE);
  if (!socket) return std::unexpected(std::move(socket.error()));
  Status first;
  if (paths.overlay) {
    auto link = ensure_overlay(*socket, *paths.overlay);
    if (!link) first = std::unexpected(std::move(link.error()));
    for (NodeRoute& route : paths.routes) {
      if (route.onlink && link) route.link = *link;
    }
  }
  auto there = list_routes(*socket, marks_.group());
  if (!there) return std::unexpected(std::move(there.error()));
  if (!first) {  // those by the overlay stay as they are
    for (auto* routes : {&paths.routes, &*there}) {
      std::erase_if(*routes, [](const NodeRoute& each) { return each.onlink; });
    }
  }
  Difference<NodeRoute> difference(std::move(paths.routes), std::move(*there));
  keep_replaced(difference, [](const NodeRoute& each) { return each.range; });
  // Each by itself: one that the kernel refuses is not in the others' way.
  auto send = [&](Request request, bool gone_is_fine) {
    auto sent = socket->send(std::move(request));
    if (!sent && gone_is_fine && sent.error().is_not_found()) return;
    if (!sent && first) first = std::unexpected(std::move(sent.error()));
  };
  for (const NodeRoute& each : difference.surplus) send(delete_route(each, marks_.group()), true);
  for (const NodeRoute& each : difference.missing) send(put_route(each, marks_.group()), false);
  if (!paths.overlay) {
    if (auto removed = remove_overlay(*socket); !removed && first) first = std::move(removed);
  }
  return first;
}

Result<NodeRoutes::Present> NodeRoutes::present() {
  auto socket = NetlinkSocket::open(NETLINK_ROUTE);
  if (!socket) return std::unexpected(std::move(socket.error()));
  Present present;
  auto routes = list_routes(*socket, marks_.group());
  if (!routes) return std::unexpected(std::move(routes.error()));
  for (const NodeRoute& route : *routes) present.ranges.push_back(route.range);
  auto overlay = find_overlay(*socket);
  if (!overlay) return std::unexpected(std::move(overlay.error()));
  if (!*overlay) return present;
  auto destinations = list_destinations(*socket, (*overlay)->link.index);
  if (!destinations) return std::unexpected(std::move(destinations.error()));
  present.overlay_nodes.emplace();
  for (const Neighbour& each : *destinations) present.overlay_nodes->push_back(each.address);
  return present;
}

}  // namespace gantry::netns
