// SPDX-License-Identifier: Apache-2.0
// deps: gantry_netns
// Pods that pretend to be others: by the source address of a packet, by ARP.
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
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

// Whether the host's way out by IPv6 is by the router that a pod pretends to be.
bool is_router_believed() {
  auto routes = sys::read_file(sys::kCwd, "/proc/net/ipv6_route", 1 << 20);
  EXPECT_TRUE(ok(routes));
  // Destination, prefix, source, prefix, next hop.
  const std::string none(32, '0');
  return routes->find(none + " 00 " + none + " 00 fe800000000000000000000000000066") != std::string::npos;
}

TEST_F(PodNetworkTest, APodIsNoRouterOfTheNodes) {
  FakeShim pod;
  IpAddress address = attach(pod, "a");
  const std::string link = network->list().value().at(0).host_ifname;
  OwnFd on_host = bound_socket(SOCK_DGRAM, IpAddress(), 1000);
  OwnFd honest = pod.inside([&] { return bound_socket(SOCK_DGRAM, address, 7); });
  auto socket = NetlinkSocket::borrow(pod.route);
  Link eth0 = parse_link(socket.exchange(get_link("eth0")).value().at(0)).value();
  Request own("add a link-local address", RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
  own.header(
         ifaddrmsg{.ifa_family = AF_INET6, .ifa_prefixlen = 64, .ifa_flags = IFA_F_NODAD, .ifa_index = eth0.index})
      .put(IFA_LOCAL, ip("fe80::66").bytes())
      .put(IFA_ADDRESS, ip("fe80::66").bytes());
  ASSERT_TRUE(ok(socket.send(std::move(own))));
  OwnFd raw = pod.inside([] { return bounded_socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6); });
  auto advertise = [&] {
    const int hops = 255;
    ASSERT_EQ(::setsockopt(raw.get(), IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof(hops)), 0);
    nd_router_advert packet{};
    packet.nd_ra_type = ND_ROUTER_ADVERT;
    packet.nd_ra_router_lifetime = htons(1800);
    sockaddr_in6 all{.sin6_family = AF_INET6, .sin6_scope_id = eth0.index};
    std::memcpy(&all.sin6_addr, ip("ff02::1").bytes().data(), 16);
    ASSERT_EQ(::sendto(raw.get(), &packet, sizeof(packet), 0, reinterpret_cast<sockaddr*>(&all), sizeof(all)),
              static_cast<ssize_t>(sizeof(packet)))
        << std::strerror(errno);
    // What comes after it over the same link has come.
    send_to(honest, network->gateway(), 1000, "honest");
    EXPECT_EQ(receive_from(on_host).text, "honest");
  };
  advertise();
  EXPECT_FALSE(is_router_believed());
  // Without the defence: as the kernel has a link that forwards nothing by IPv6.
  write_setting(("/proc/sys/net/ipv6/conf/" + link + "/disable_ipv6").c_str(), "0");
  write_setting(("/proc/sys/net/ipv6/conf/" + link + "/accept_ra").c_str(), "2");
  // The kernel has the link take part in IPv6 when it comes to it.
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!is_router_believed() && std::chrono::steady_clock::now() < limit) advertise();
  EXPECT_TRUE(is_router_believed());
}

}  // namespace
}  // namespace gantry::netns
