// SPDX-License-Identifier: Apache-2.0
// deps: gantry_netns
// Pods, their host and what is outside reach each other over the built-in pod network.
#include <chrono>

#include "tests/support/pod_network_fixture.h"

namespace gantry::netns {
namespace {

using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

TEST_F(PodNetworkTest, PodsAndHostReachEachOther) {
  FakeShim a, b;
  IpAddress address_a = attach(a, "a"), address_b = attach(b, "b");
  EXPECT_NE(address_a, address_b);

  OwnFd in_a = a.inside([&] { return bound_socket(SOCK_DGRAM, address_a, 1000); });
  OwnFd in_b = b.inside([&] { return bound_socket(SOCK_DGRAM, address_b, 1000); });
  OwnFd on_host = bound_socket(SOCK_DGRAM, IpAddress(), 1000);
  auto expect_way = [](FdRef from, const IpAddress& from_address, FdRef to, const IpAddress& to_address) {
    send_to(from, to_address, 1000, "hello");
    Datagram got = receive_from(to);
    EXPECT_EQ(got.text, "hello");
    EXPECT_EQ(got.from, from_address.to_string());
  };
  expect_way(on_host, network->gateway(), in_b, address_b);
  expect_way(in_a, address_a, in_b, address_b);
  expect_way(in_b, address_b, in_a, address_a);
  expect_way(in_a, address_a, on_host, network->gateway());

  OwnFd listener = b.inside([&] { return bound_socket(SOCK_STREAM, address_b, 2000); });
  OwnFd client = a.inside([] { return bounded_socket(AF_INET, SOCK_STREAM, 0); });
  sockaddr_in remote = endpoint(address_b, 2000);
  ASSERT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&remote), sizeof(remote)), 0) << std::strerror(errno);
  OwnFd server(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(server.is_open());
  std::string sent(1 << 20, 'x'), received;
  std::size_t written = 0;
  while (received.size() < sent.size()) {
    ssize_t out =
        ::send(client.get(), sent.data() + written, std::min<std::size_t>(sent.size() - written, 32768), MSG_NOSIGNAL);
    if (written < sent.size()) {
      ASSERT_GT(out, 0);
      written += static_cast<std::size_t>(out);
    }
    char buffer[65536];
    ssize_t in = ::recv(server.get(), buffer, sizeof(buffer), 0);
    ASSERT_GT(in, 0);
    received.append(buffer, static_cast<std::size_t>(in));
  }
  EXPECT_EQ(received, sent);
}

// Not for address resolution and no link watch: these take a second, each time; a busy machine does not.
TEST_F(PodNetworkTest, TheFirstPacketOverALinkWaitsForNothing) {
  OwnFd on_host = bound_socket(SOCK_DGRAM, IpAddress(), 1000);
  auto longest = Clock::duration::max();
  for (int tries = 0; tries < 10 && longest > std::chrono::milliseconds(900); ++tries) {
    FakeShim a, b;
    IpAddress address_a = attach(a, "a"), address_b = attach(b, "b");
    OwnFd in_a = a.inside([&] { return bound_socket(SOCK_DGRAM, address_a, 1000); });
    OwnFd in_b = b.inside([&] { return bound_socket(SOCK_DGRAM, address_b, 1000); });
    longest = {};
    auto go = [&](FdRef from, FdRef to, const IpAddress& address) {
      auto start = Clock::now();
      send_to(from, address, 1000, "hello");
      EXPECT_EQ(receive_from(to).text, "hello");
      longest = std::max<Clock::duration>(longest, Clock::now() - start);
    };
    go(on_host, in_b, address_b);
    go(in_a, in_b, address_b);
    go(in_b, in_a, address_a);
    go(in_a, on_host, network->gateway());
    for (const char* id : {"a", "b"}) ASSERT_TRUE(ok(network->detach(id)));
  }
  EXPECT_LT(longest, std::chrono::milliseconds(900));
}

TEST_F(PodNetworkTest, TheHostsEndIsClosedForWhatIsNotIpv4) {
  FakeShim pod;
  auto attached = network->attach("a", pod.netns, pod.route).value();
  for (auto [setting, value] : {std::pair{"ipv4/conf/NAME/rp_filter", "1\n"},
                                {"ipv4/conf/NAME/forwarding", "1\n"},
                                {"ipv4/conf/NAME/accept_redirects", "0\n"},
                                {"ipv4/conf/NAME/send_redirects", "0\n"},
                                {"ipv6/conf/NAME/accept_ra", "0\n"},
                                {"ipv6/conf/NAME/disable_ipv6", "1\n"}}) {
    std::string path = std::string("/proc/sys/net/") + setting;
    path.replace(path.find("NAME"), 4, attached.host_ifname);
    EXPECT_EQ(read_setting(path), value) << path;
  }
  EXPECT_EQ(read_setting("/proc/sys/net/ipv4/ip_forward"), "1\n");
}

TEST_F(PodNetworkTest, PodsGoOutsideUnderTheHostsAddress) {
  FakeShim pod, outside;
  IpAddress address = attach(pod, "a");
  // It knows no way to pods.
  IpAddress here = ip("192.0.2.1"), there = ip("192.0.2.2");
  Link uplink = connect_to(outside, here, there);

  OwnFd in_pod = pod.inside([&] { return bound_socket(SOCK_DGRAM, address, 1000); });
  OwnFd far_away = outside.inside([&] { return bound_socket(SOCK_DGRAM, there, 1000); });
  send_to(in_pod, there, 1000, "ping");
  Datagram got = receive_from(far_away);
  EXPECT_EQ(got.text, "ping");
  EXPECT_EQ(got.from, here.to_string());
  send_to(far_away, here, got.port, "pong");
  got = receive_from(in_pod);
  EXPECT_EQ(got.text, "pong");
  EXPECT_EQ(got.from, there.to_string());

  // With a default route by it, a network of MTU 0 takes its MTU.
  auto socket = NetlinkSocket::open(NETLINK_ROUTE).value();
  ASSERT_TRUE(ok(socket.send(add_default_route(uplink.index, there, here))));
  EXPECT_EQ(open_network()->mtu(), 1400U);
  EXPECT_EQ(network->node_address().value(), here);
  EXPECT_TRUE(ok(socket.send(delete_link(uplink.index))));
  EXPECT_EQ(open_network()->mtu(), 1500U);
  EXPECT_EQ(network->node_address().value(), network->gateway());
}

TEST_F(PodNetworkTest, PodsOfTheClusterKnowEachOtherByTheirOwnAddresses) {
  FakeShim pod, other_node;
  IpAddress address = attach(pod, "a");
  IpAddress here = ip("10.89.0.1"), there = ip("10.89.0.2");
  Link uplink = connect_to(other_node, here, there);
  ASSERT_TRUE(ok(NetlinkSocket::borrow(other_node.route).send(add_default_route(uplink.peer_index, here, there))));
  OwnFd in_pod = pod.inside([&] { return bound_socket(SOCK_DGRAM, address, 1000); });
  OwnFd far_away = other_node.inside([&] { return bound_socket(SOCK_DGRAM, there, 1000); });

  PodNetworkConfig cluster = config();
  cluster.cluster_cidr = Cidr::parse("10.88.0.0/15").value();
  network = PodNetwork::open(cluster, ledger).value();
  ASSERT_TRUE(ok(network->prepare_node()));
  send_to(in_pod, there, 1000, "ping");
  EXPECT_EQ(receive_from(far_away).from, address.to_string());
  send_to(far_away, address, 1000, "pong");
  EXPECT_EQ(receive_from(in_pod).from, there.to_string());

  auto socket = NetlinkSocket::open(NETLINK_ROUTE).value();
  EXPECT_TRUE(ok(socket.send(delete_link(uplink.index))));
}

TEST(PodNetworkConfig, MistakesAreNamed) {
  MemoryLedger ledger;
  auto refused = [&](auto change) {
    PodNetworkConfig changed = config();
    change(changed);
    auto network = PodNetwork::open(changed, ledger);
    return network ? std::string("fine")
                   : std::string(to_string(network.error().code())) + " " + network.error().message();
  };
  EXPECT_EQ(refused([](auto&) {}), "fine");
  EXPECT_THAT(refused([](auto& c) { c.pod_cidr = Cidr::parse("fd00::/64").value(); }),
              HasSubstr("INVALID_ARGUMENT pod network"));
  EXPECT_THAT(refused([](auto& c) { c.pod_cidr = Cidr::parse("10.0.0.0/7").value_or(Cidr()); }),
              HasSubstr("/8 to /30"));
  EXPECT_THAT(refused([](auto& c) { c.pod_cidr = Cidr::parse("10.88.0.0/31").value(); }), HasSubstr("no room"));
  EXPECT_THAT(refused([](auto& c) { c.cluster_cidr = Cidr::parse("10.88.0.0/17").value(); }),
              HasSubstr("cluster range 10.88.0.0/17 does not contain pod range 10.88.0.0/16"));
  EXPECT_THAT(refused([](auto& c) { c.gateway = ip("10.89.0.1"); }), HasSubstr("gateway 10.89.0.1"));
  EXPECT_THAT(refused([](auto& c) { c.mtu = 100; }), HasSubstr("MTU 100"));
  EXPECT_THAT(refused([](auto& c) { c.instance = "a:b"; }), HasSubstr("instance id"));
  EXPECT_THAT(refused([](auto& c) { c.instance = std::string(49, 'x'); }), HasSubstr("at most 48"));
}

}  // namespace
}  // namespace gantry::netns
