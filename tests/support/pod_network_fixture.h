// SPDX-License-Identifier: Apache-2.0
// The built-in pod network on the real kernel, for node tests of it. The test program's world is the host; a pod is a
// network namespace that a child made, and that is reached as gantryd reaches it: through two descriptors. Only the
// tests' own sockets are made by entering it. Header only: its users name gantry_netns as deps.
#pragma once

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <linux/netlink.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "netns/links.h"
#include "netns/netlink.h"
#include "netns/pod_network.h"
#include "sys/file.h"
#include "sys/process.h"
#include "sys/socket.h"
#include "tests/support/world.h"

namespace gantry::netns {

inline IpAddress ip(std::string_view text) { return IpAddress::parse(text).value(); }

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
  Result<std::vector<HeldPort>> load_ports() override { return ports; }
  Status record_ports(std::string_view sandbox_id, const std::vector<HostPort>& wanted) override {
    for (const HostPort& port : wanted) {
      for (const HeldPort& held : ports) {
        if (held.port.takes_place_of(port)) return fail(Code::kAlreadyExists, port.name());
      }
    }
    for (const HostPort& port : wanted) ports.push_back({std::string(sandbox_id), port});
    return {};
  }
  Status forget_ports(std::string_view sandbox_id) override {
    std::erase_if(ports, [&](const HeldPort& held) { return held.sandbox_id == sandbox_id; });
    return {};
  }
  Result<std::optional<Cidr>> range() override { return recorded_range; }
  Status record_range(const Cidr& range) override {
    if (refuses_range) return fail(Code::kInternal, "the disk is full");
    recorded_range = range;
    return {};
  }
  std::vector<HeldAddress> records;
  std::vector<HeldPort> ports;
  std::optional<IpAddress> newest;
  std::optional<Cidr> recorded_range;
  bool refuses_range = false;
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

inline sockaddr_in endpoint(const IpAddress& address, std::uint16_t port) {
  sockaddr_in result{.sin_family = AF_INET, .sin_port = htons(port)};
  std::memcpy(&result.sin_addr, address.bytes().data(), 4);
  return result;
}

inline void bound_waits(FdRef fd, std::chrono::seconds limit) {
  timeval time{.tv_sec = limit.count()};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time));
}

// Sockets whose every wait is bounded: what comes comes sooner, however busy the machine is.
inline OwnFd bounded_socket(int domain, int type, int protocol) {
  OwnFd fd(::socket(domain, type | SOCK_CLOEXEC, protocol));
  EXPECT_TRUE(fd.is_open()) << std::strerror(errno);
  bound_waits(fd, std::chrono::seconds(60));
  return fd;
}

inline OwnFd bound_socket(int type, const IpAddress& address, std::uint16_t port) {
  OwnFd fd = bounded_socket(AF_INET, type, 0);
  sockaddr_in local = endpoint(address, port);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&local), sizeof(local)), 0) << std::strerror(errno);
  if (type == SOCK_STREAM) EXPECT_EQ(::listen(fd.get(), 4), 0);
  return fd;
}

inline void send_to(FdRef fd, const IpAddress& address, std::uint16_t port, std::string_view text) {
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
inline Datagram receive_from(FdRef fd) {
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

inline std::string read_setting(const std::string& path) {
  auto text = sys::read_file(sys::kCwd, path.c_str(), 1 << 20);
  return text ? *text : text.error().message();
}

inline PodNetworkConfig config() { return {.pod_cidr = Cidr::parse("10.88.0.0/16").value(), .instance = "testnode"}; }

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

}  // namespace gantry::netns
