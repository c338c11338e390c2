// SPDX-License-Identifier: Apache-2.0
// deps: gantry_netns
// Pods of two hosts, each with a network of its own: by routes and by VXLAN over both families, after kills, beside
// what is others'.
#include "netns/node_routes.h"

#include <linux/rtnetlink.h>
#include <poll.h>

#include <functional>

#include "netns/nft_table.h"
#include "netns/route_monitor.h"
#include "tests/support/pod_network_fixture.h"

namespace gantry::netns {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::uint16_t kPort = 7000;

Cidr cidr(std::string_view text) { return Cidr::parse(text).value(); }

// One of the two. The other's is made inside of its namespace.
struct Host {
  Host(std::string name, std::string_view range, std::string_view v4, std::string_view v6)
      : node{.name = std::move(name), .ranges = {cidr(range)}, .addresses = {ip(v4)}}, v6(ip(v6)) {}
  void open() {
    network = std::move(PodNetwork::open({.pod_cidr = node.ranges[0], .instance = node.name}, ledger).value());
    EXPECT_TRUE(ok(network->prepare_node()));
  }
  OwnNode own() const { return {.ranges = node.ranges, .addresses = node.addresses}; }
  Status reach(RouteMode mode, const std::vector<PeerNode>& peers) {
    auto unreached = network->set_nodes(mode, own(), peers);
    if (!unreached) return std::unexpected(std::move(unreached.error()));
    EXPECT_THAT(*unreached, IsEmpty());
    return {};
  }
  std::vector<NodeRoute> routes() const {
    auto socket = NetlinkSocket::open(NETLINK_ROUTE).value();
    return list_routes(socket, LinkMarks(node.name).group()).value();
  }

  PeerNode node;
  IpAddress v6;
  MemoryLedger ledger;
  std::unique_ptr<PodNetwork> network;
};

class NodeRoutesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    uplink_ = connect();
    here_.open();
    here_pod_ = attach(here_, here_shim_);
    far_.inside([this] {
      there_.open();
      there_pod_ = attach(there_, there_shim_);
      return 0;
    });
  }
  void TearDown() override {
    EXPECT_TRUE(ok(here_.network->detach("pod")));
    EXPECT_TRUE(ok(here_.network->release_node()));
    EXPECT_THAT(here_.routes(), IsEmpty());
    auto socket = NetlinkSocket::open(NETLINK_ROUTE).value();
    EXPECT_TRUE(ok(socket.send(delete_link(uplink_.index))));
  }

  // Addresses of both families, which are there at once: nobody looks for duplicates.
  Link connect() {
    auto socket = NetlinkSocket::open(NETLINK_ROUTE).value();
    std::array<Request, 2> make{make_veth({.host_name = "uplink",
                                           .host_mac = {2, 0, 0, 0, 0, 1},
                                           .pod_mac = {2, 0, 0, 0, 0, 2},
                                           .mtu = 1400,
                                           .pod_netns = far_.netns}),
                                get_link("uplink")};
    Link link = parse_link(socket.exchange(make).value().back()).value();
    auto wire = [](NetlinkSocket& by, std::uint32_t index, const Host& own, const Host& other) {
      Request v6("add an IPv6 address", RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
      v6.header(ifaddrmsg{.ifa_family = AF_INET6, .ifa_prefixlen = 64, .ifa_flags = IFA_F_NODAD, .ifa_index = index})
          .put(IFA_LOCAL, own.v6.bytes())
          .put(IFA_ADDRESS, own.v6.bytes());
      std::array<Request, 4> requests{set_up(index), add_address(index, own.node.addresses[0]),
                                      add_link_route(index, other.node.addresses[0], own.node.addresses[0]),
                                      std::move(v6)};
      EXPECT_TRUE(ok(by.send(requests)));
    };
    auto far = NetlinkSocket::borrow(far_.route);
    wire(far, link.peer_index, there_, here_);
    wire(socket, link.index, here_, there_);
    EXPECT_TRUE(ok(far.send(get_link("eth0"))));  // it notices that this one is up
    return link;
  }
  static IpAddress attach(Host& host, const FakeShim& shim) {
    auto attached = host.network->attach("pod", shim.netns, shim.route);
    EXPECT_TRUE(ok(attached));
    return attached ? attached->addresses.at(0) : IpAddress();
  }
  void reach_each_other(RouteMode mode) {
    ASSERT_TRUE(ok(here_.reach(mode, {there_.node})));
    far_.inside([&] {
      EXPECT_TRUE(ok(there_.reach(mode, {here_.node})));
      return 0;
    });
  }
  // What the far pod sees of the near one, and the other way round.
  void expect_packets(std::size_t size = 8) {
    auto send = [size](const FakeShim& from, const IpAddress& source, const FakeShim& to, const IpAddress& target) {
      auto taken = to.inside([&] { return bound_socket(SOCK_DGRAM, target, kPort); });
      auto sender = from.inside([&] { return bound_socket(SOCK_DGRAM, source, kPort); });
      send_to(sender, target, kPort, std::string(size, 'x'));
      EXPECT_EQ(receive_from(taken).from, source.to_string());
    };
    send(here_shim_, here_pod_, there_shim_, there_pod_);
    send(there_shim_, there_pod_, here_shim_, here_pod_);
  }

  FakeShim far_, here_shim_, there_shim_;
  Host here_{"here", "10.88.0.0/24", "192.0.2.1", "2001:db8::1"};
  Host there_{"there", "10.88.1.0/24", "192.0.2.2", "2001:db8::2"};
  IpAddress here_pod_, there_pod_;
  Link uplink_;
};

TEST_F(NodeRoutesTest, PodsReachEachOtherByTheirNodesAddresses) {
  for (RouteMode mode : {RouteMode::kAuto, RouteMode::kDirect}) {
    reach_each_other(mode);
    expect_packets();
    EXPECT_EQ(here_.network->mtu(), here_.network->list().value().at(0).mtu);
  }
}

TEST_F(NodeRoutesTest, PodsReachEachOtherByVxlan) {
  reach_each_other(RouteMode::kVxlan);
  expect_packets();
  expect_packets(4000);  // in pieces
  EXPECT_EQ(here_.network->mtu() + 50, here_.network->list().value().at(0).mtu) << "of pods that come now";
}

TEST_F(NodeRoutesTest, VxlanGoesOverIpv6) {
  here_.node.addresses = {here_.v6};
  there_.node.addresses = {there_.v6};
  reach_each_other(RouteMode::kAuto);
  expect_packets();
}

TEST_F(NodeRoutesTest, AChangeOfModeLeavesNothing) {
  for (RouteMode mode : {RouteMode::kVxlan, RouteMode::kDirect, RouteMode::kVxlan, RouteMode::kAuto}) {
    reach_each_other(mode);
    expect_packets();
  }
  auto socket = NetlinkSocket::open(NETLINK_ROUTE).value();
  auto link = socket.exchange(get_link(LinkMarks("here").overlay_name()));
  ASSERT_FALSE(link);
  EXPECT_TRUE(link.error().is_not_found()) << link.error().message();
}

TEST_F(NodeRoutesTest, ANodeWithoutAnAddressOfTheFamilyIsNamed) {
  there_.node.addresses = {there_.v6};
  auto unreached = here_.network->set_nodes(RouteMode::kAuto, here_.own(), {there_.node});
  ASSERT_TRUE(ok(unreached));
  ASSERT_THAT(*unreached, SizeIs(1));
  EXPECT_EQ(unreached->at(0).name, "there");
}

// Whatever of it a kill has left, and whatever is too much.
TEST_F(NodeRoutesTest, TheNextProcessMakesItWhole) {
  reach_each_other(RouteMode::kVxlan);
  const auto whole = here_.routes();
  const LinkMarks marks("here");
  auto socket = NetlinkSocket::open(NETLINK_ROUTE).value();
  auto overlay = parse_vxlan(socket.exchange(get_link(marks.overlay_name())).value().at(0)).value();
  const auto ends = list_destinations(socket, overlay.link.index).value();
  const auto neighbours = list_neighbours(socket, overlay.link.index, Family::kV4).value();
  const Neighbour stale{ip("192.0.2.99"), overlay_mac(ip("192.0.2.99"))};
  const std::vector<std::function<Request()>> harms = {
      [&] { return delete_route(whole.at(0), marks.group()); },
      [&] { return delete_link(overlay.link.index); },
      [&] { return delete_destination(overlay.link.index, ends.at(0)); },
      [&] { return delete_neighbour(overlay.link.index, neighbours.at(0)); },
      [&] { return put_destination(overlay.link.index, stale); },
      [&] { return put_neighbour(overlay.link.index, {ip("10.88.9.1"), stale.mac}); },
      [&] { return set_link_mac(overlay.link.index, {2, 0, 0, 0, 0, 9}); },
      [&] { return set_mtu(overlay.link.index, 1000); },
      [&] { return set_alias(marks.overlay_name(), ""); },
      [&] { return delete_address(overlay.link.index, ip("10.88.0.1"), 32); },
      [&] {
        NodeRoute surplus = whole.at(0);
        surplus.range = cidr("10.88.9.0/24");
        surplus.link = overlay.link.index;
        return put_route(surplus, marks.group());
      },
  };
  for (std::size_t i = 0; i < harms.size(); ++i) {
    ASSERT_TRUE(ok(socket.send(harms[i]()))) << i;
    here_.open();
    ASSERT_TRUE(ok(here_.reach(RouteMode::kVxlan, {there_.node}))) << i;
    overlay = parse_vxlan(socket.exchange(get_link(marks.overlay_name())).value().at(0)).value();
    auto routes = here_.routes();
    ASSERT_THAT(routes, SizeIs(1)) << i;
    EXPECT_EQ(routes[0].range, whole[0].range) << i;
    EXPECT_EQ(routes[0].link, overlay.link.index) << i;
    EXPECT_EQ(list_destinations(socket, overlay.link.index).value(), ends) << i;
    EXPECT_EQ(list_neighbours(socket, overlay.link.index, Family::kV4).value(), neighbours) << i;
    EXPECT_EQ(overlay.link.alias, marks.overlay_alias()) << i;
    expect_packets();
  }
}

TEST_F(NodeRoutesTest, ATableThatIsMadeAnewKnowsTheNodes) {
  for (RouteMode mode : {RouteMode::kDirect, RouteMode::kVxlan}) {
    reach_each_other(mode);
    here_.open();
    far_.inside([this] {
      there_.open();
      return 0;
    });
    expect_packets();
  }
}

TEST_F(NodeRoutesTest, WhatIsOthersStays) {
  auto socket = NetlinkSocket::open(NETLINK_ROUTE).value();
  // The same range and the same protocol, of another instance.
  const NodeRoute foreign{.range = there_.node.ranges[0],
                          .via = there_.node.addresses[0],
                          .link = uplink_.index,
                          .onlink = false,
                          .source = {}};
  constexpr std::uint32_t kMetric = 5;
  ASSERT_TRUE(ok(socket.send(put_route(foreign, kMetric))));
  reach_each_other(RouteMode::kDirect);
  ASSERT_TRUE(ok(here_.reach(RouteMode::kDirect, {})));
  EXPECT_THAT(here_.routes(), IsEmpty());
  EXPECT_THAT(list_routes(socket, kMetric).value(), ElementsAre(foreign));
  ASSERT_TRUE(ok(socket.send(delete_route(foreign, kMetric))));
}

TEST_F(NodeRoutesTest, ALinkOfOurNameThatIsNotOursStays) {
  auto socket = NetlinkSocket::open(NETLINK_ROUTE).value();
  const std::string name = LinkMarks("here").overlay_name();
  ASSERT_TRUE(
      ok(socket.send(make_vxlan({.name = name, .mac = {2, 0, 0, 0, 0, 7}, .mtu = 1300, .vni = 9, .port = 9999}))));
  auto reached = here_.reach(RouteMode::kVxlan, {there_.node});
  ASSERT_FALSE(reached);
  EXPECT_EQ(reached.error().code(), Code::kFailedPrecondition);
  auto still = parse_vxlan(socket.exchange(get_link(name)).value().at(0)).value();
  EXPECT_EQ(still.vni, 9u);
  ASSERT_TRUE(ok(socket.send(delete_link(still.link.index))));
}

TEST_F(NodeRoutesTest, AnOverlayThatCantBeMadeIsNotInTheWayOfOtherRoutes) {
  auto socket = NetlinkSocket::open(NETLINK_ROUTE).value();
  const std::string name = LinkMarks("here").overlay_name();
  ASSERT_TRUE(
      ok(socket.send(make_vxlan({.name = name, .mac = {2, 0, 0, 0, 0, 7}, .mtu = 1300, .vni = 9, .port = 9999}))));
  const PeerNode behind{.name = "behind", .ranges = {cidr("10.88.2.0/24")}, .addresses = {ip("198.51.100.9")}};
  EXPECT_FALSE(here_.reach(RouteMode::kAuto, {behind, there_.node}));
  auto routes = here_.routes();
  ASSERT_THAT(routes, SizeIs(1));
  EXPECT_EQ(routes[0].range, there_.node.ranges[0]);
  EXPECT_FALSE(here_.reach(RouteMode::kAuto, {behind}));
  EXPECT_THAT(here_.routes(), IsEmpty());
  auto link = parse_link(socket.exchange(get_link(name)).value().at(0)).value();
  ASSERT_TRUE(ok(socket.send(delete_link(link.index))));
  ASSERT_TRUE(ok(here_.reach(RouteMode::kAuto, {behind, there_.node})));
  EXPECT_THAT(here_.routes(), SizeIs(2));
}

TEST(RouteMonitorTest, AddressesOfIpv6AreTold) {
  FakeShim host;
  host.inside([] {
    auto socket = NetlinkSocket::open(NETLINK_ROUTE).value();
    constexpr std::uint32_t kLoopback = 1;
    EXPECT_TRUE(ok(socket.send(set_up(kLoopback))));
    auto monitor = RouteMonitor::open("here").value();
    Request add("add an IPv6 address", RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
    const IpAddress address = ip("2001:db8::9");
    add.header(ifaddrmsg{.ifa_family = AF_INET6, .ifa_prefixlen = 128, .ifa_index = kLoopback})
        .put(IFA_LOCAL, address.bytes())
        .put(IFA_ADDRESS, address.bytes());
    EXPECT_TRUE(ok(socket.send(std::move(add))));
    pollfd ready{.fd = monitor.fd().get(), .events = POLLIN, .revents = 0};
    EXPECT_EQ(::poll(&ready, 1, 60'000), 1);
    EXPECT_TRUE(monitor.take());
    return 0;
  });
}

}  // namespace
}  // namespace gantry::netns
