// SPDX-License-Identifier: Apache-2.0
// deps: gantry_netns
// Pods that pretend to be others: by the source address of a packet, by ARP.
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/ip.h>
#include <netinet/udp.h>

#include <algorithm>

#include "tests/support/pod_network_fixture.h"

namespace gantry::netns {
namespace {

// Sends a UDP datagram whose source address is not the sender's.
void send_spoofed(FdRef raw, const IpAddress& from, const IpAddress& to, std::uint16_t port, std::string_view text) {
  struct {
    iphdr ip;
    udphdr udp;
    char text[32];
  } packet{};
  packet.ip.version = 4;
  packet.ip.ihl = 5;
  packet.ip.ttl = 64;
  packet.ip.protocol = IPPROTO_UDP;
  std::memcpy(&packet.ip.saddr, from.bytes().data(), 4);
  std::memcpy(&packet.ip.daddr, to.bytes().data(), 4);
  packet.udp.source = htons(7);
  packet.udp.dest = htons(port);
  packet.udp.len = htons(static_cast<std::uint16_t>(sizeof(udphdr) + text.size()));
  text.copy(packet.text, sizeof(packet.text));
  std::size_t size = sizeof(iphdr) + sizeof(udphdr) + text.size();
  sockaddr_in remote = endpoint(to, 0);
  EXPECT_EQ(::sendto(raw.get(), &packet, size, 0, reinterpret_cast<sockaddr*>(&remote), sizeof(remote)),
            static_cast<ssize_t>(size))
      << std::strerror(errno);
}

void write_setting(const char* path, const char* value) {
  ASSERT_TRUE(ok(sys::write_file(sys::kCwd, path, value))) << path;
}
TEST_F(PodNetworkTest, ASpoofedSourceIsDroppedByEitherDefenceAlone) {
  FakeShim a, b;
  IpAddress address_a = attach(a, "a"), address_b = attach(b, "b");
  OwnFd raw = a.inside([] { return bounded_socket(AF_INET, SOCK_RAW, IPPROTO_RAW); });
  OwnFd honest = a.inside([&] { return bound_socket(SOCK_DGRAM, address_a, 7); });
  OwnFd on_host = bound_socket(SOCK_DGRAM, IpAddress(), 1000);
  OwnFd in_b = b.inside([&] { return bound_socket(SOCK_DGRAM, address_b, 1000); });

  // Each spoofed datagram is followed by an honest one over the same way: if that comes first, the other one never
  // comes.
  auto first_to_host = [&](const IpAddress& pretended) {
    send_spoofed(raw, pretended, network->gateway(), 1000, "spoofed");
    send_to(honest, network->gateway(), 1000, "honest");
    std::string first = receive_from(on_host).text;
    while (first == "spoofed" && receive_from(on_host).text == "spoofed") {
    }
    return first;
  };
  auto first_to_pod = [&](const IpAddress& pretended) {
    send_spoofed(raw, pretended, address_b, 1000, "spoofed");
    send_to(honest, address_b, 1000, "honest");
    std::string first = receive_from(in_b).text;
    while (first == "spoofed" && receive_from(in_b).text == "spoofed") {
    }
    return first;
  };
  auto expect_all = [&](const char* what) {
    EXPECT_EQ(first_to_host(address_b), what);
    EXPECT_EQ(first_to_pod(ip("10.88.77.77")), what);
    EXPECT_EQ(first_to_pod(ip("203.0.113.5")), what);
  };
  expect_all("honest");
  EXPECT_EQ(first_to_pod(network->gateway()), "honest");
  EXPECT_EQ(first_to_host(ip("127.0.0.1")), "honest");

  // Only the rule: what an administrator or udev may do to the filter.
  write_setting("/proc/sys/net/ipv4/conf/all/rp_filter", "2");
  std::string filter = "/proc/sys/net/ipv4/conf/" + network->list()->at(0).host_ifname + "/rp_filter";
  for (const PodLink& link : *network->list()) {
    write_setting(("/proc/sys/net/ipv4/conf/" + link.host_ifname + "/rp_filter").c_str(), "0");
  }
  write_setting("/proc/sys/net/ipv4/conf/all/rp_filter", "0");
  expect_all("honest");

  // Neither: the attack bites, so the test above can fail.
  ASSERT_TRUE(ok(network->release_node()));
  expect_all("spoofed");

  // Only the filter.
  for (const PodLink& link : *network->list()) {
    write_setting(("/proc/sys/net/ipv4/conf/" + link.host_ifname + "/rp_filter").c_str(), "1");
  }
  expect_all("honest");
}

TEST_F(PodNetworkTest, AnArpAnswerConvincesNobody) {
  FakeShim a, b;
  IpAddress address_a = attach(a, "a"), address_b = attach(b, "b");
  OwnFd ether_a = a.inside([] { return bounded_socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ARP)); });
  OwnFd ether_b = b.inside([] { return bounded_socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ARP)); });
  unsigned eth0 = a.inside([] { return ::if_nametoindex("eth0"); });
  std::string host_before = read_setting("/proc/net/arp");
  std::string b_before = b.inside([] { return read_setting("/proc/thread-self/net/arp"); });

  // "b's address, and the gateway's, are at my link address": to everybody, as request and as answer, b's and the
  // host's link address guessed right.
  LinkMarks marks("testnode");
  MacAddress everybody;
  everybody.fill(0xff);
  for (const IpAddress& claimed : {address_b, network->gateway()}) {
    for (const MacAddress& to : {everybody, marks.host_mac("a"), marks.host_mac("b"), marks.pod_mac("b")}) {
      for (std::uint16_t operation : {ARPOP_REQUEST, ARPOP_REPLY}) {
        struct __attribute__((packed)) {
          std::uint8_t to[6], from[6];
          std::uint16_t type;
          arphdr arp;
          std::uint8_t sender_mac[6], sender_ip[4], target_mac[6], target_ip[4];
        } frame{};
        std::ranges::copy(to, frame.to);
        std::ranges::copy(marks.pod_mac("a"), frame.from);
        frame.type = htons(ETH_P_ARP);
        frame.arp = {htons(ARPHRD_ETHER), htons(ETH_P_IP), 6, 4, htons(operation)};
        std::ranges::copy(marks.pod_mac("a"), frame.sender_mac);
        std::ranges::copy(claimed.bytes(), frame.sender_ip);
        std::ranges::copy(to, frame.target_mac);
        std::ranges::copy(claimed.bytes(), frame.target_ip);
        sockaddr_ll link{.sll_family = AF_PACKET, .sll_ifindex = static_cast<int>(eth0), .sll_halen = 6};
        ASSERT_EQ(::sendto(ether_a.get(), &frame, sizeof(frame), 0, reinterpret_cast<sockaddr*>(&link), sizeof(link)),
                  static_cast<ssize_t>(sizeof(frame)))
            << std::strerror(errno);
      }
    }
  }

  // Then real traffic both ways: it takes its old ways, and b saw no frame of all that.
  OwnFd in_a = a.inside([&] { return bound_socket(SOCK_DGRAM, address_a, 1000); });
  OwnFd in_b = b.inside([&] { return bound_socket(SOCK_DGRAM, address_b, 1000); });
  OwnFd on_host = bound_socket(SOCK_DGRAM, IpAddress(), 1000);
  send_to(in_a, address_b, 1000, "from a");
  EXPECT_EQ(receive_from(in_b).text, "from a");
  send_to(on_host, address_b, 1000, "from the host");
  EXPECT_EQ(receive_from(in_b).text, "from the host");
  send_to(in_b, network->gateway(), 1000, "from b");
  EXPECT_EQ(receive_from(on_host).text, "from b");
  EXPECT_EQ(read_setting("/proc/net/arp"), host_before);
  EXPECT_EQ(b.inside([] { return read_setting("/proc/thread-self/net/arp"); }), b_before);
  char frame[64];
  EXPECT_LT(::recv(ether_b.get(), frame, sizeof(frame), MSG_DONTWAIT), 0) << "a frame of pod a reached pod b";
}

}  // namespace
}  // namespace gantry::netns
