// SPDX-License-Identifier: Apache-2.0
// deps: gantry_netns
// Ports of the host that lead to pods: from where they are reached, as whom a pod sees who comes, and who is kept out.
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>

#include <algorithm>
#include <numeric>

#include "tests/support/pod_network_fixture.h"

namespace gantry::netns {
namespace {

using ::testing::HasSubstr;

const IpAddress kLoopback4 = ip("127.0.0.1");

class HostPortTest : public PodNetworkTest {
 protected:
  void SetUp() override {
    PodNetworkTest::SetUp();
    auto socket = NetlinkSocket::open(NETLINK_ROUTE).value();
    ASSERT_TRUE(ok(socket.send(set_up(1))));
  }
  static HostPort udp(std::uint16_t host_port, std::uint16_t pod_port) {
    return {.protocol = Protocol::kUdp, .host_address = {}, .host_port = host_port, .pod_port = pod_port};
  }
  // What is sent there does not come to the pod.
  static bool is_lost(FdRef sender, const IpAddress& to, std::uint16_t port, FdRef in_pod) {
    bound_waits(in_pod, std::chrono::seconds(5));
    return seen_from(sender, to, port, in_pod) == "nothing";
  }
  // Sends there and back; what the pod saw as its sender, "nothing" when it saw none.
  static std::string seen_from(FdRef sender, const IpAddress& to, std::uint16_t port, FdRef in_pod) {
    send_to(sender, to, port, "ping");
    Datagram came = receive_from(in_pod);
    if (came.text != "ping") return "nothing";
    send_to(in_pod, ip(came.from), came.port, "pong");
    Datagram back = receive_from(sender);
    EXPECT_EQ(back.text, "pong");
    EXPECT_EQ(back.from, to.to_string());
    EXPECT_EQ(back.port, port);
    return came.from;
  }
};

TEST_F(HostPortTest, IsReachedFromTheHostFromPodsAndFromElsewhere) {
  FakeShim a, b, outside;
  IpAddress address_a = attach(a, "a"), address_b = attach(b, "b");
  IpAddress here = ip("192.0.2.1"), there = ip("192.0.2.2");
  connect_to(outside, here, there);
  ASSERT_TRUE(ok(network->map_ports("a", {udp(5353, 53)})));
  OwnFd in_a = a.inside([&] { return bound_socket(SOCK_DGRAM, address_a, 53); });
  OwnFd on_host = bounded_socket(AF_INET, SOCK_DGRAM, 0);
  OwnFd in_b = b.inside([] { return bounded_socket(AF_INET, SOCK_DGRAM, 0); });
  OwnFd also_in_a = a.inside([] { return bounded_socket(AF_INET, SOCK_DGRAM, 0); });
  OwnFd out_there = outside.inside([] { return bounded_socket(AF_INET, SOCK_DGRAM, 0); });
  std::string gateway = network->gateway().to_string();
  EXPECT_EQ(seen_from(on_host, kLoopback4, 5353, in_a), gateway);
  EXPECT_EQ(seen_from(bounded_socket(AF_INET, SOCK_DGRAM, 0), network->gateway(), 5353, in_a), gateway);
  EXPECT_EQ(seen_from(in_b, network->gateway(), 5353, in_a), address_b.to_string());
  EXPECT_EQ(seen_from(also_in_a, network->gateway(), 5353, in_a), gateway);
  EXPECT_EQ(seen_from(out_there, here, 5353, in_a), there.to_string());
  ASSERT_TRUE(ok(network->detach("a")));
  EXPECT_TRUE(is_lost(bounded_socket(AF_INET, SOCK_DGRAM, 0), network->gateway(), 5353, in_a));
}

TEST_F(HostPortTest, OfOneAddressAndOneProtocolIsOfNoOther) {
  FakeShim a;
  IpAddress address_a = attach(a, "a");
  HostPort port = udp(5353, 53);
  port.host_address = network->gateway();
  HostPort tcp{.host_port = 5353, .pod_port = 80};
  ASSERT_TRUE(ok(network->map_ports("a", {port, tcp})));
  OwnFd in_a = a.inside([&] { return bound_socket(SOCK_DGRAM, address_a, 53); });
  EXPECT_EQ(seen_from(bounded_socket(AF_INET, SOCK_DGRAM, 0), network->gateway(), 5353, in_a),
            network->gateway().to_string());
  EXPECT_TRUE(is_lost(bounded_socket(AF_INET, SOCK_DGRAM, 0), kLoopback4, 5353, in_a));
}

TEST_F(HostPortTest, HasOneHolderAlsoAfterARestart) {
  FakeShim a, b;
  IpAddress address_a = attach(a, "a"), address_b = attach(b, "b");
  ASSERT_TRUE(ok(network->map_ports("a", {udp(5353, 53), udp(5354, 54)})));
  network = open_network();
  ASSERT_TRUE(ok(network->prepare_node()));
  OwnFd in_a = a.inside([&] { return bound_socket(SOCK_DGRAM, address_a, 54); });
  EXPECT_NE(seen_from(bounded_socket(AF_INET, SOCK_DGRAM, 0), kLoopback4, 5354, in_a), "nothing");
  auto refused = network->map_ports("b", {udp(5355, 53), udp(5354, 53)});
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().is_already_exists());
  EXPECT_THAT(refused.error().message(), HasSubstr("udp port 5354"));
  ASSERT_TRUE(ok(network->detach("a")));
  ASSERT_TRUE(ok(network->map_ports("b", {udp(5355, 53), udp(5354, 53)})));
  OwnFd in_b = b.inside([&] { return bound_socket(SOCK_DGRAM, address_b, 53); });
  EXPECT_NE(seen_from(bounded_socket(AF_INET, SOCK_DGRAM, 0), kLoopback4, 5354, in_b), "nothing");
}

TEST_F(HostPortTest, WhatMakesNoSenseIsNamed) {
  FakeShim a;
  attach(a, "a");
  EXPECT_THAT(network->map_ports("a", {udp(53, 1), udp(53, 2)}).error().message(), HasSubstr("udp port 53"));
  EXPECT_TRUE(network->map_ports("a", {udp(0, 1)}).error().is_invalid());
  HostPort six = udp(53, 53);
  six.host_address = ip("::1");
  EXPECT_TRUE(network->map_ports("a", {six}).error().is_invalid());
  EXPECT_EQ(network->map_ports("nobody", {udp(53, 53)}).error().code(), Code::kFailedPrecondition);
}

std::uint16_t checksum(const void* data, std::size_t size) {
  const auto* words = static_cast<const std::uint16_t*>(data);
  std::uint32_t sum = std::accumulate(words, words + size / 2, 0U);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

// A datagram to 127.0.0.1 of the host, on the wire: no route of the sender's leads there.
void send_to_loopback(const FakeShim& from, const MacAddress& to_mac, const IpAddress& source, std::uint16_t port) {
  OwnFd ether = from.inside([] { return bounded_socket(AF_PACKET, SOCK_RAW, htons(ETH_P_IP)); });
  unsigned eth0 = from.inside([] { return ::if_nametoindex("eth0"); });
  struct __attribute__((packed)) {
    std::uint8_t to[6], from[6] = {2, 0, 0, 0, 0, 9};
    std::uint16_t type = htons(ETH_P_IP);
    iphdr ip;
    udphdr udp;
    char text[8] = "foreign";
  } frame{};
  std::ranges::copy(to_mac, frame.to);
  iphdr ip{};
  ip.version = 4;
  ip.ihl = 5;
  ip.ttl = 64;
  ip.protocol = IPPROTO_UDP;
  ip.tot_len = htons(sizeof(iphdr) + sizeof(udphdr) + sizeof(frame.text));
  std::memcpy(&ip.saddr, source.bytes().data(), 4);
  std::memcpy(&ip.daddr, kLoopback4.bytes().data(), 4);
  ip.check = checksum(&ip, sizeof(ip));
  frame.ip = ip;
  frame.udp.source = htons(7);
  frame.udp.dest = htons(port);
  frame.udp.len = htons(sizeof(udphdr) + sizeof(frame.text));
  sockaddr_ll link{.sll_family = AF_PACKET, .sll_ifindex = static_cast<int>(eth0), .sll_halen = 6};
  EXPECT_EQ(::sendto(ether.get(), &frame, sizeof(frame), 0, reinterpret_cast<sockaddr*>(&link), sizeof(link)),
            static_cast<ssize_t>(sizeof(frame)))
      << std::strerror(errno);
}

// CVE-2020-8558: what listens on the host's 127.0.0.1 is not for those who can send it a frame.
TEST_F(HostPortTest, TheHostsLoopbackIsNotReachedByThePod) {
  FakeShim a;
  IpAddress address_a = attach(a, "a");
  ASSERT_TRUE(ok(network->map_ports("a", {udp(5353, 53)})));
  OwnFd on_loopback = bound_socket(SOCK_DGRAM, kLoopback4, 1000);
  OwnFd on_host = bound_socket(SOCK_DGRAM, network->gateway(), 1001);
  OwnFd honest = a.inside([&] { return bound_socket(SOCK_DGRAM, address_a, 7); });
  LinkMarks marks("testnode");
  auto attack = [&] {
    send_to_loopback(a, marks.host_mac("a"), address_a, 1000);
    send_to(honest, network->gateway(), 1001, "honest");
    EXPECT_EQ(receive_from(on_host).text, "honest");
    char text[16];
    return ::recv(on_loopback.get(), text, sizeof(text), MSG_DONTWAIT) > 0;
  };
  EXPECT_FALSE(attack());
  // Without the rule it bites.
  ASSERT_TRUE(ok(network->release_node()));
  EXPECT_TRUE(attack());
}

TEST_F(HostPortTest, NobodyElseComesToAPodByTheHostsLoopbackAddress) {
  FakeShim a, outside;
  IpAddress address_a = attach(a, "a");
  IpAddress here = ip("192.0.2.1"), there = ip("192.0.2.2");
  Link uplink = connect_to(outside, here, there);
  ASSERT_TRUE(ok(network->map_ports("a", {udp(5353, 53)})));
  OwnFd in_a = a.inside([&] { return bound_socket(SOCK_DGRAM, address_a, 53); });
  OwnFd honest = outside.inside([&] { return bound_socket(SOCK_DGRAM, there, 8); });
  send_to_loopback(outside, {2, 0, 0, 0, 0, 1}, there, 5353);
  send_to(honest, here, 5353, "honest");
  EXPECT_EQ(receive_from(in_a).text, "honest");
}

}  // namespace
}  // namespace gantry::netns
