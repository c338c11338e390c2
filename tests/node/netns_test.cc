// SPDX-License-Identifier: Apache-2.0
// deps: gantry_netns
// The built-in pod network on the real kernel. This program's world is the host; a pod is a network namespace that a
// child made, and that is reached as gantryd reaches it: through two descriptors. Only the tests' own sockets are made
// by entering it.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <linux/if_packet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "netns/database_ledger.h"
#include "netns/links.h"
#include "netns/netlink.h"
#include "netns/nft_table.h"
#include "netns/pod_network.h"
#include "sys/file.h"
#include "sys/process.h"
#include "sys/socket.h"
#include "tests/support/world.h"

namespace gantry::netns {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;
using Clock = std::chrono::steady_clock;

IpAddress ip(std::string_view text) { return IpAddress::parse(text).value(); }

template <typename T>
::testing::AssertionResult ok(const Result<T>& result) {
  if (result) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << result.error().message();
}

class MemoryLedger final : public AddressLedger {
 public:
  Result<std::vector<HeldAddress>> load() override { return records; }
  Status record(const IpAddress& address, std::string_view sandbox_id) override {
    records.push_back({address, std::string(sandbox_id)});
    newest = address;
    return {};
  }
  Status forget(const IpAddress& address) override {
    std::erase_if(records, [&](const HeldAddress& held) { return held.address == address; });
    return {};
  }
  Result<std::optional<IpAddress>> last() override { return newest; }
  std::vector<HeldAddress> records;
  std::optional<IpAddress> newest;
};

// A namespace as a shim hands it over; the child that made it holds it until the FakeShim goes.
class FakeShim {
 public:
  FakeShim() {
    auto pair = sys::seqpacket_pair(false).value();
    child_ = ::fork();
    if (child_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      // Nothing of what the parent has open stays open here: neither other pods' namespaces nor the ends of their
      // sockets.
      constexpr int kSocket = 3;
      if (::dup2(pair.right.get(), kSocket) < 0 || !sys::close_range(kSocket + 1, false)) std::_Exit(1);
      hand_over(FdRef(kSocket));
    }
    char byte;
    auto packet = sys::receive_packet(pair.left, {&byte, 1}).value();
    netns = NsFd(std::move(packet.fds.at(0)));
    route = SocketFd(std::move(packet.fds.at(1)));
    life_ = std::move(pair.left);
  }
  FakeShim(const FakeShim&) = delete;
  ~FakeShim() {
    life_.close();
    ::waitpid(child_, nullptr, 0);
  }
  // Runs `call` inside; for sockets, which stay there, and for looking around.
  template <typename Call>
  auto inside(Call call) const {
    auto home = sys::openat(sys::kCwd, "/proc/self/ns/net", O_RDONLY).value();
    if (!sys::setns(netns, sys::CloneFlag::kNewNet)) std::abort();
    auto result = call();
    if (!sys::setns(home, sys::CloneFlag::kNewNet)) std::abort();
    return result;
  }

  NsFd netns;
  SocketFd route;

 private:
  [[noreturn]] static void hand_over(FdRef socket) {
    if (!sys::unshare(sys::CloneFlag::kNewNet)) std::_Exit(1);
    auto netns = sys::openat(sys::kCwd, "/proc/self/ns/net", O_RDONLY);
    OwnFd route(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    FdRef fds[] = {*netns, route};
    if (!sys::send_packet(socket, "x", fds)) std::_Exit(1);
    char byte;
    (void)::read(socket.get(), &byte, 1);  // until the other end is closed
    std::_Exit(0);
  }
  pid_t child_;
  SocketFd life_;
};

sockaddr_in endpoint(const IpAddress& address, std::uint16_t port) {
  sockaddr_in result{.sin_family = AF_INET, .sin_port = htons(port)};
  std::memcpy(&result.sin_addr, address.bytes().data(), 4);
  return result;
}

// Sockets whose every wait is bounded.
OwnFd bounded_socket(int domain, int type, int protocol) {
  OwnFd fd(::socket(domain, type | SOCK_CLOEXEC, protocol));
  EXPECT_TRUE(fd.is_open()) << std::strerror(errno);
  timeval limit{.tv_sec = 5};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  return fd;
}

OwnFd bound_socket(int type, const IpAddress& address, std::uint16_t port) {
  OwnFd fd = bounded_socket(AF_INET, type, 0);
  sockaddr_in local = endpoint(address, port);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&local), sizeof(local)), 0) << std::strerror(errno);
  if (type == SOCK_STREAM) EXPECT_EQ(::listen(fd.get(), 4), 0);
  return fd;
}

void send_to(FdRef fd, const IpAddress& address, std::uint16_t port, std::string_view text) {
  sockaddr_in remote = endpoint(address, port);
  EXPECT_EQ(::sendto(fd.get(), text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&remote), sizeof(remote)),
            static_cast<ssize_t>(text.size()))
      << std::strerror(errno);
}

// "text from address:port"; "nothing" when none came in time.
struct Datagram {
  std::string text, from;
  std::uint16_t port = 0;
};
Datagram receive_from(FdRef fd) {
  char buffer[256];
  sockaddr_in remote{};
  socklen_t length = sizeof(remote);
  ssize_t size = ::recvfrom(fd.get(), buffer, sizeof(buffer), 0, reinterpret_cast<sockaddr*>(&remote), &length);
  if (size < 0) return {.text = "nothing"};
  char from[INET_ADDRSTRLEN];
  ::inet_ntop(AF_INET, &remote.sin_addr, from, sizeof(from));
  return {std::string(buffer, static_cast<std::size_t>(size)), from, ntohs(remote.sin_port)};
}

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
std::string read_setting(const std::string& path) {
  auto text = sys::read_file(sys::kCwd, path.c_str(), 1 << 20);
  return text ? *text : text.error().message();
}

std::size_t count_dumped(int protocol, Request request) {
  auto socket = NetlinkSocket::open(protocol).value();
  auto replies = socket.dump(std::move(request), [](const nlmsghdr&) { return true; });
  EXPECT_TRUE(ok(replies));
  return replies ? replies->size() : 0;
}
template <typename Header>
std::size_t count_routing(std::uint16_t type, const Header& header) {
  Request request("count", type, 0);
  request.header(header);
  return count_dumped(NETLINK_ROUTE, std::move(request));
}
std::size_t count_nftables(std::uint16_t message) {
  Request request("count", static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | message), 0);
  request.header(nfgenmsg{.nfgen_family = NFPROTO_UNSPEC, .version = NFNETLINK_V0});
  return count_dumped(NETLINK_NETFILTER, std::move(request));
}

// How much of everything this host's namespace holds.
struct Inventory {
  std::size_t links, addresses, routes, rules, neighbours, nft_tables, nft_chains, nft_rules, fds;
  bool operator==(const Inventory&) const = default;
};
void PrintTo(const Inventory& i, std::ostream* out) {
  *out << i.links << " links, " << i.addresses << " addresses, " << i.routes << " routes, " << i.rules << " rules, "
       << i.neighbours << " neighbours, " << i.nft_tables << " tables, " << i.nft_chains << " chains, " << i.nft_rules
       << " nft rules, " << i.fds << " fds";
}
Inventory take_inventory() {
  return {.links = count_routing(RTM_GETLINK, ifinfomsg{}),
          .addresses = count_routing(RTM_GETADDR, ifaddrmsg{}),
          .routes = count_routing(RTM_GETROUTE, rtmsg{}),
          .rules = count_routing(RTM_GETRULE, rtmsg{}),
          .neighbours = count_routing(RTM_GETNEIGH, ndmsg{}),
          .nft_tables = count_nftables(NFT_MSG_GETTABLE),
          .nft_chains = count_nftables(NFT_MSG_GETCHAIN),
          .nft_rules = count_nftables(NFT_MSG_GETRULE),
          .fds = test::count_open_fds()};
}

PodNetworkConfig config() { return {.pod_cidr = Cidr::parse("10.88.0.0/16").value(), .instance = "testnode"}; }

class PodNetworkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    network = open_network();
    ASSERT_TRUE(ok(network->prepare_node()));
  }
  void TearDown() override {
    if (!network) return;
    auto links = network->list().value();
    for (const PodLink& link : links) EXPECT_TRUE(ok(network->detach(link.sandbox_id)));
    EXPECT_TRUE(ok(network->release_node()));
  }
  std::unique_ptr<PodNetwork> open_network() { return std::move(PodNetwork::open(config(), ledger).value()); }
  // Attaches and returns the address.
  IpAddress attach(const FakeShim& pod, std::string_view id) {
    auto attached = network->attach(id, pod.netns, pod.route);
    EXPECT_TRUE(ok(attached));
    return attached ? attached->addresses.at(0) : IpAddress();
  }

  // A link between this host, as `here`, and another one, as `there`.
  Link connect_to(const FakeShim& outside, const IpAddress& here, const IpAddress& there) {
    auto socket = NetlinkSocket::open(NETLINK_ROUTE).value();
    std::array<Request, 2> make{make_veth({.host_name = "uplink",
                                           .host_mac = {2, 0, 0, 0, 0, 1},
                                           .pod_mac = {2, 0, 0, 0, 0, 2},
                                           .mtu = 1400,
                                           .pod_netns = outside.netns}),
                                get_link("uplink")};
    Link uplink = parse_link(socket.exchange(make).value().back()).value();
    std::array<Request, 3> far{set_up(uplink.peer_index), add_address(uplink.peer_index, there),
                               add_link_route(uplink.peer_index, here, there)};
    EXPECT_TRUE(ok(NetlinkSocket::borrow(outside.route).send(far)));
    std::array<Request, 3> near{set_up(uplink.index), add_address(uplink.index, here),
                                add_link_route(uplink.index, there, here)};
    EXPECT_TRUE(ok(socket.send(near)));
    // Asked for its state, the far end notices that this one is up; else it drops what it sends for up to a second.
    EXPECT_TRUE(ok(NetlinkSocket::borrow(outside.route).send(get_link("eth0"))));
    return uplink;
  }

  MemoryLedger ledger;
  std::unique_ptr<PodNetwork> network;
};

TEST_F(PodNetworkTest, PodsAndHostReachEachOther) {
  FakeShim a, b;
  IpAddress address_a = attach(a, "a"), address_b = attach(b, "b");
  EXPECT_NE(address_a, address_b);

  OwnFd in_a = a.inside([&] { return bound_socket(SOCK_DGRAM, address_a, 1000); });
  OwnFd in_b = b.inside([&] { return bound_socket(SOCK_DGRAM, address_b, 1000); });
  OwnFd on_host = bound_socket(SOCK_DGRAM, IpAddress(), 1000);
  auto expect_way = [](FdRef from, const IpAddress& from_address, FdRef to, const IpAddress& to_address) {
    auto start = Clock::now();
    send_to(from, to_address, 1000, "hello");
    Datagram got = receive_from(to);
    EXPECT_EQ(got.text, "hello");
    EXPECT_EQ(got.from, from_address.to_string());
    // The very first packet over a link, too, waits for no address resolution and no link watch: these take a second.
    EXPECT_LT(Clock::now() - start, std::chrono::milliseconds(900));
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

TEST_F(PodNetworkTest, AHundredCyclesLeaveNothing) {
  // Its first use opens what stays open; the second inventory is the one to hold.
  {
    FakeShim first;
    attach(first, "first");
    ASSERT_TRUE(ok(network->detach("first")));
  }
  Inventory before = take_inventory();
  for (int i = 0; i < 100; ++i) {
    FakeShim pod;
    std::string id = "cycle-" + std::to_string(i);
    ASSERT_TRUE(ok(network->attach(id, pod.netns, pod.route)));
    ASSERT_TRUE(ok(network->detach(id)));
  }
  EXPECT_EQ(take_inventory(), before);
  EXPECT_THAT(network->held(), IsEmpty());
  EXPECT_TRUE(ok(network->detach("cycle-7")));  // gone already
}

TEST_F(PodNetworkTest, SandboxesComeAndGoAtTheSameTime) {
  std::vector<std::unique_ptr<FakeShim>> pods;
  for (int i = 0; i < 16; ++i) pods.push_back(std::make_unique<FakeShim>());
  Inventory before = take_inventory();
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = t; i < pods.size(); i += 8) {
        std::string id = "pod-" + std::to_string(i);
        EXPECT_TRUE(ok(network->attach(id, pods[i]->netns, pods[i]->route)));
        EXPECT_TRUE(ok(network->list()));
        EXPECT_TRUE(ok(network->detach(id)));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(take_inventory(), before);
  EXPECT_THAT(network->held(), IsEmpty());
}

TEST_F(PodNetworkTest, WithThePodsNamespaceGoneDetachStillFreesTheAddress) {
  auto pod = std::make_unique<FakeShim>();
  IpAddress address = attach(*pod, "a");
  pod.reset();  // the kernel takes the link down with it, some time later
  EXPECT_TRUE(ok(network->detach("a")));
  EXPECT_THAT(network->held(), IsEmpty());
  FakeShim next;
  EXPECT_TRUE(ok(network->attach("b", next.netns, next.route, address)));
}

TEST_F(PodNetworkTest, WhatACrashLeftIsReplaced) {
  LinkMarks marks("testnode");
  auto socket = NetlinkSocket::open(NETLINK_ROUTE).value();
  FakeShim pod;
  auto make = [&] {
    return make_veth({.host_name = marks.host_name("a"),
                      .host_mac = marks.host_mac("a"),
                      .pod_mac = marks.pod_mac("a"),
                      .mtu = 1500,
                      .group = marks.group(),
                      .pod_netns = pod.netns});
  };
  // Made and not marked.
  ASSERT_TRUE(ok(socket.send(make())));
  attach(pod, "a");
  ASSERT_TRUE(ok(network->detach("a")));

  // Made, marked and recorded, not wired; and the process that did it is gone.
  ledger.records = {{ip("10.88.3.4"), "a"}};
  std::array<Request, 2> half{make(), set_alias(marks.host_name("a"), marks.alias("a", {ip("10.88.3.4")}))};
  ASSERT_TRUE(ok(socket.send(half)));
  network = open_network();
  auto links = network->list().value();
  ASSERT_THAT(links, SizeIs(1));
  EXPECT_FALSE(links[0].complete);
  EXPECT_EQ(attach(pod, "a"), ip("10.88.3.4"));
  EXPECT_TRUE(network->list()->at(0).complete);

  // Attached as a whole, and then again: as if the answer had been lost.
  EXPECT_EQ(attach(pod, "a"), ip("10.88.3.4"));
  EXPECT_THAT(network->held(), ElementsAre(HeldAddress{ip("10.88.3.4"), "a"}));
  OwnFd in_pod = pod.inside([&] { return bound_socket(SOCK_DGRAM, ip("10.88.3.4"), 1000); });
  OwnFd on_host = bound_socket(SOCK_DGRAM, IpAddress(), 1000);
  send_to(on_host, ip("10.88.3.4"), 1000, "hello");
  EXPECT_EQ(receive_from(in_pod).text, "hello");
}

TEST_F(PodNetworkTest, KilledAtAnyMomentItIsPutInOrderByTheDiff) {
  std::vector<std::unique_ptr<FakeShim>> pods;
  for (int i = 0; i < 4; ++i) pods.push_back(std::make_unique<FakeShim>());
  Inventory before = take_inventory();
  for (int round = 0; round < 20; ++round) {
    auto pair = sys::seqpacket_pair(false).value();
    pid_t daemon = ::fork();
    if (daemon == 0) {
      pair.left.close();
      auto disk = DatabaseLedger::open("/mnt/killed.db");
      auto one = disk ? PodNetwork::open(config(), *disk) : std::unexpected(disk.error());
      for (int i = 0; one; ++i) {
        const FakeShim& pod = *pods[static_cast<std::size_t>(i) % pods.size()];
        std::string id = "pod-" + std::to_string(i % 4);
        if (i % 8 < 4 ? !(*one)->attach(id, pod.netns, pod.route) : !(*one)->detach(id)) break;
        if (!sys::send_packet(pair.right, "x", {})) break;
      }
      std::_Exit(1);
    }
    pair.right.close();
    // So many whole steps, and a part of the next one that differs from round to round.
    for (int step = 0; step < 1 + round % 7; ++step) {
      char byte;
      auto packet = sys::receive_packet(pair.left, {&byte, 1});
      ASSERT_TRUE(packet && packet->size == 1) << "round " << round << ": the child gave up at step " << step;
    }
    auto until = Clock::now() + std::chrono::microseconds(70 * round);
    while (Clock::now() < until) {
    }
    ::kill(daemon, SIGKILL);
    ::waitpid(daemon, nullptr, 0);

    DatabaseLedger disk = std::move(DatabaseLedger::open("/mnt/killed.db").value());
    auto again = std::move(PodNetwork::open(config(), disk).value());
    auto links = again->list().value();
    std::vector<HeldAddress> held = again->held();
    // Every link of the group is marked, and its address recorded before it.
    EXPECT_EQ(count_routing(RTM_GETLINK, ifinfomsg{}), before.links + links.size()) << "round " << round;
    for (const PodLink& link : links) {
      EXPECT_THAT(held, ::testing::Contains(HeldAddress{link.addresses.at(0), link.sandbox_id})) << "round " << round;
    }
    for (const HeldAddress& record : held) EXPECT_TRUE(ok(again->detach(record.sandbox_id)));
    EXPECT_THAT(*again->list(), IsEmpty());
    EXPECT_THAT(*disk.load(), IsEmpty());
  }
  EXPECT_EQ(take_inventory(), before);
}

TEST_F(PodNetworkTest, ANewProcessFindsWhatLives) {
  FakeShim a, b, c;
  IpAddress address_a = attach(a, "a"), address_b = attach(b, "b");
  std::vector<HeldAddress> held = network->held();
  network = open_network();
  auto links = network->list().value();
  ASSERT_THAT(links, SizeIs(2));
  std::ranges::sort(links, {}, &PodLink::sandbox_id);
  EXPECT_EQ(links[0].sandbox_id, "a");
  EXPECT_THAT(links[0].addresses, ElementsAre(address_a));
  EXPECT_EQ(links[0].mtu, network->mtu());
  EXPECT_TRUE(links[0].complete);
  EXPECT_EQ(links[1].sandbox_id, "b");
  EXPECT_EQ(network->held(), held);
  EXPECT_NE(attach(c, "c"), address_b);  // and it goes on behind the newest

  // With an empty ledger: the links say what is in use, and the ledger has it again.
  ledger.records.clear();
  network = open_network();
  EXPECT_THAT(ledger.records, SizeIs(3));
  EXPECT_THAT(network->held(), SizeIs(3));
  FakeShim d;
  IpAddress address_d = attach(d, "d");
  EXPECT_THAT(std::vector({address_d}),
              ::testing::Not(::testing::AnyOf(ElementsAre(address_a), ElementsAre(address_b))));
}

TEST_F(PodNetworkTest, AnotherInstanceBesideUsIsLeftAlone) {
  MemoryLedger other_ledger;
  PodNetworkConfig other_config = config();
  other_config.instance = "othernode";
  auto other = std::move(PodNetwork::open(other_config, other_ledger).value());
  ASSERT_TRUE(ok(other->prepare_node()));
  FakeShim a, b, c;
  IpAddress address_a = attach(a, "same-id");
  // Both give out from the same range: the second sees by the route that the first one's address is in use.
  auto of_other = other->attach("same-id", b.netns, b.route);
  ASSERT_TRUE(ok(of_other));
  EXPECT_NE(of_other->addresses[0], address_a);
  EXPECT_THAT(*network->list(), SizeIs(1));
  EXPECT_THAT(*other->list(), SizeIs(1));
  ASSERT_TRUE(ok(other->detach("same-id")));
  ASSERT_TRUE(ok(other->release_node()));
  EXPECT_THAT(*network->list(), SizeIs(1));
  EXPECT_EQ(count_nftables(NFT_MSG_GETTABLE), 1U);
  // The other one is restarted: it knows our address by our alias.
  other = std::move(PodNetwork::open(other_config, other_ledger).value());
  auto refused = other->attach("x", c.netns, c.route, address_a);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().is_already_exists());
}

TEST_F(PodNetworkTest, WhatIsNotOursIsNotTouched) {
  LinkMarks marks("testnode");
  auto socket = NetlinkSocket::open(NETLINK_ROUTE).value();
  FakeShim pod, stranger;
  std::string name = marks.host_name("a");
  // A link of our name and without our mark.
  ASSERT_TRUE(ok(socket.send(make_veth({.host_name = name,
                                        .host_mac = {2, 0, 0, 0, 0, 1},
                                        .pod_mac = {2, 0, 0, 0, 0, 2},
                                        .mtu = 1500,
                                        .pod_netns = stranger.netns}))));
  auto refused = network->attach("a", pod.netns, pod.route);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().is_already_exists());
  EXPECT_THAT(refused.error().message(), HasSubstr(name));
  EXPECT_FALSE(network->detach("a"));
  auto there = socket.exchange(get_link(name));
  ASSERT_TRUE(ok(there));
  EXPECT_EQ(parse_link(there->front())->alias, "");
  EXPECT_TRUE(ok(socket.send(delete_link(parse_link(there->front())->index))));

  // A table of our name and another comment.
  ASSERT_TRUE(ok(network->release_node()));
  auto nft = NetlinkSocket::open(NETLINK_NETFILTER).value();
  std::string table = NftTable::open("testnode")->name();
  auto batch = [](std::uint16_t type) {
    Request request("batch", type, 0);
    request.header(nfgenmsg{.version = NFNETLINK_V0, .res_id = htons(NFNL_SUBSYS_NFTABLES)});
    return request;
  };
  auto change = [&](std::uint16_t message, std::uint16_t flags) {
    Request request("table", static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | message), flags);
    request.header(nfgenmsg{.nfgen_family = NFPROTO_INET, .version = NFNETLINK_V0}).put_string(NFTA_TABLE_NAME, table);
    std::array<Request, 3> requests{batch(NFNL_MSG_BATCH_BEGIN), std::move(request), batch(NFNL_MSG_BATCH_END)};
    return nft.send(requests);
  };
  ASSERT_TRUE(ok(change(NFT_MSG_NEWTABLE, NLM_F_CREATE)));
  for (auto refused_table : {network->prepare_node(), network->release_node()}) {
    ASSERT_FALSE(refused_table);
    EXPECT_EQ(refused_table.error().code(), Code::kFailedPrecondition);
    EXPECT_THAT(refused_table.error().message(), HasSubstr(table));
  }
  EXPECT_EQ(count_nftables(NFT_MSG_GETTABLE), 1U);
  ASSERT_TRUE(ok(change(NFT_MSG_DELTABLE, 0)));
}

TEST_F(PodNetworkTest, PreparingTwiceIsPreparingOnce) {
  Inventory before = take_inventory();
  ASSERT_TRUE(ok(network->prepare_node()));
  EXPECT_EQ(take_inventory(), before);
  EXPECT_EQ(before.nft_tables, 1U);
  EXPECT_EQ(before.nft_rules, 2U);
  ASSERT_TRUE(ok(network->release_node()));
  ASSERT_TRUE(ok(network->release_node()));
  EXPECT_EQ(take_inventory().nft_tables, 0U);
}

TEST_F(PodNetworkTest, AFailedAttachLeavesNothing) {
  FakeShim pod, used;
  attach(used, "used");
  Inventory before = take_inventory();
  auto not_a_namespace = network->attach("a", pod.route, pod.route);
  ASSERT_FALSE(not_a_namespace);
  EXPECT_THAT(not_a_namespace.error().message(), HasSubstr("attach sandbox a"));
  auto not_a_socket = network->attach("a", pod.netns, pod.netns);
  ASSERT_FALSE(not_a_socket);
  auto has_eth0 = network->attach("a", used.netns, used.route);
  ASSERT_FALSE(has_eth0);
  EXPECT_TRUE(has_eth0.error().is_already_exists());
  for (const char* id : {"", "../a", "a:b", "a\"b"})
    EXPECT_TRUE(network->attach(id, pod.netns, pod.route).error().is_invalid());
  for (const char* wanted : {"10.88.0.0", "10.88.0.1", "10.88.255.255", "10.89.0.1", "fd00::1"}) {
    EXPECT_TRUE(network->attach("a", pod.netns, pod.route, ip(wanted)).error().is_invalid()) << wanted;
  }
  EXPECT_EQ(take_inventory(), before);
  EXPECT_THAT(network->held(), SizeIs(1));
  EXPECT_THAT(ledger.records, SizeIs(1));
  attach(pod, "a");
}

TEST_F(PodNetworkTest, TheLedgerOnDiskGoesOnAcrossRestarts) {
  FakeShim a, b, c, d;
  IpAddress first, second;
  {
    DatabaseLedger disk = std::move(DatabaseLedger::open("/mnt/gantry.db").value());
    auto one = std::move(PodNetwork::open(config(), disk).value());
    first = one->attach("a", a.netns, a.route)->addresses[0];
    second = one->attach("b", b.netns, b.route)->addresses[0];
    ASSERT_TRUE(ok(one->detach("a")));
  }
  DatabaseLedger disk = std::move(DatabaseLedger::open("/mnt/gantry.db").value());
  auto again = std::move(PodNetwork::open(config(), disk).value());
  EXPECT_THAT(again->held(), UnorderedElementsAre(HeldAddress{second, "b"}));
  IpAddress third = again->attach("c", c.netns, c.route)->addresses[0];
  EXPECT_NE(third, first) << "freed just now, used at once";
  EXPECT_EQ(third, *second.plus(1));
  ASSERT_TRUE(ok(again->detach("b")));
  ASSERT_TRUE(ok(again->detach("c")));
  EXPECT_THAT(*disk.load(), IsEmpty());
  again.reset();
  // The newest address is free by now: its turn comes last all the same.
  again = std::move(PodNetwork::open(config(), disk).value());
  EXPECT_EQ(again->attach("d", d.netns, d.route)->addresses[0], *third.plus(1));
  ASSERT_TRUE(ok(again->detach("d")));
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
