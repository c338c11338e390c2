// SPDX-License-Identifier: Apache-2.0
// deps: gantry_netns gantry_proxy gantry_proxy_nftables PkgConfig::LIBNFTABLES
// Services on the real kernel, packet by packet: the test program's world is the node, pods are namespaces of the
// built-in network, and `outside` is another host beside the node.
#include <netinet/tcp.h>
#include <nftables/libnftables.h>
#include <poll.h>

#include <algorithm>
#include <map>
#include <set>

#include "netns/conntrack.h"
#include "proxy/nftables/backend.h"
#include "tests/support/pod_network_fixture.h"

namespace gantry::proxy {
namespace {

using namespace netns;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kService = "10.96.0.10";

// A sockaddr of either family.
struct Socket {
  sockaddr_storage storage{};
  socklen_t size = 0;
  sockaddr* address() { return reinterpret_cast<sockaddr*>(&storage); }
};

Socket socket_of(const IpAddress& address, std::uint16_t port) {
  Socket out;
  if (address.is_v4()) {
    sockaddr_in four = endpoint(address, port);
    std::memcpy(&out.storage, &four, sizeof(four));
    out.size = sizeof(four);
  } else {
    sockaddr_in6 six{.sin6_family = AF_INET6, .sin6_port = htons(port)};
    std::memcpy(&six.sin6_addr, address.bytes().data(), 16);
    std::memcpy(&out.storage, &six, sizeof(six));
    out.size = sizeof(six);
  }
  return out;
}

IpAddress address_in(const sockaddr_storage& storage) {
  const void* bytes = &reinterpret_cast<const sockaddr_in&>(storage).sin_addr;
  if (storage.ss_family == AF_INET6) bytes = &reinterpret_cast<const sockaddr_in6&>(storage).sin6_addr;
  std::size_t size = storage.ss_family == AF_INET ? 4 : 16;
  return IpAddress::from_bytes({static_cast<const std::uint8_t*>(bytes), size}).value();
}

OwnFd listener(int type, const IpAddress& address, std::uint16_t port) {
  OwnFd fd = bounded_socket(address.address_family(), type, 0);
  Socket local = socket_of(address, port);
  EXPECT_EQ(::bind(fd.get(), local.address(), local.size), 0) << std::strerror(errno);
  if (type == SOCK_STREAM) EXPECT_EQ(::listen(fd.get(), 64), 0);
  return fd;
}

// A connection, or why there is none.
struct Attempt {
  OwnFd fd;
  int error = 0;
};
Attempt connect(const IpAddress& to, std::uint16_t port, std::chrono::seconds limit = std::chrono::seconds(60)) {
  Attempt out{.fd = bounded_socket(to.address_family(), SOCK_STREAM, 0)};
  bound_waits(out.fd, limit);
  Socket remote = socket_of(to, port);
  if (::connect(out.fd.get(), remote.address(), remote.size) != 0) out.error = errno;
  return out;
}

// Whom the next one in the queue sees as the other side; "nobody" when there is none.
std::string accept_from(FdRef listener, std::chrono::milliseconds limit = std::chrono::seconds(60)) {
  timeval time{.tv_sec = limit.count() / 1000, .tv_usec = limit.count() % 1000 * 1000};
  ::setsockopt(listener.get(), SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
  sockaddr_storage from{};
  socklen_t size = sizeof(from);
  OwnFd fd(::accept4(listener.get(), reinterpret_cast<sockaddr*>(&from), &size, SOCK_CLOEXEC));
  return fd.is_open() ? address_in(from).to_string() : "nobody";
}

Frontend frontend(Frontend::Origin origin, const std::string& address, std::uint16_t port,
                  EndpointPool outside = EndpointPool::kCluster) {
  return {.origin = origin,
          .address = ip(address),
          .port = port,
          .inside = {},
          .outside = {outside, Answer::kServe}};
}
Frontend cluster_address(const std::string& address = kService, std::uint16_t port = 80) {
  return frontend(Frontend::Origin::kClusterAddress, address, port);
}

// All rules of this world, as nft(8) would list them.
std::string listed() {
  std::unique_ptr<nft_ctx, decltype(&::nft_ctx_free)> context(::nft_ctx_new(NFT_CTX_DEFAULT), &::nft_ctx_free);
  ::nft_ctx_buffer_output(context.get());
  ::nft_ctx_buffer_error(context.get());
  EXPECT_EQ(::nft_run_cmd_from_buffer(context.get(), "list ruleset"), 0) << ::nft_ctx_get_error_buffer(context.get());
  return ::nft_ctx_get_output_buffer(context.get());
}

class ProxyServicesTest : public PodNetworkTest {
 protected:
  void SetUp() override {
    PodNetworkTest::SetUp();
    auto socket = NetlinkSocket::open(NETLINK_ROUTE).value();
    ASSERT_TRUE(ok(socket.send(set_up(1))));
    outside = std::make_unique<FakeShim>();
    uplink = connect_to(*outside, here, there);
    backend = std::move(nftables::NftablesBackend::open("testnode").value());
  }
  void TearDown() override {
    EXPECT_TRUE(ok(backend->remove()));
    // Not with its namespace, whose end takes its time.
    auto socket = NetlinkSocket::open(NETLINK_ROUTE).value();
    EXPECT_TRUE(ok(socket.send(delete_link(uplink.index))));
    PodNetworkTest::TearDown();
  }

  // A rule over these endpoints, all of them on this node.
  static ServiceRule rule_of(std::vector<Frontend> frontends, std::vector<EndpointAddress> endpoints,
                             Protocol protocol = Protocol::kTcp) {
    std::ranges::sort(endpoints);
    ServiceRule rule{.protocol = protocol, .frontends = std::move(frontends), .cluster = endpoints, .local = endpoints};
    for (const auto& where : endpoints) {
      rule.here.push_back(where.address);
      rule.family = where.address.family();
    }
    return rule;
  }
  void program(ServiceRules all) {
    rules = std::move(all);
    ASSERT_TRUE(ok(backend->replace(rules, {Cidr::parse("10.88.0.0/16").value()})));
  }
  void change(const std::string& name, ServiceRule rule) {
    ASSERT_TRUE(ok(backend->apply({.set = {{name, std::move(rule)}}, .removed = {}})));
  }

  const IpAddress here = ip("192.0.2.1"), there = ip("192.0.2.2");
  std::unique_ptr<FakeShim> outside;
  Link uplink;
  std::unique_ptr<nftables::NftablesBackend> backend;
  ServiceRules rules;
};

TEST_F(ProxyServicesTest, AClusterAddressLeadsToItsEndpoints) {
  FakeShim a, b, client;
  IpAddress at_a = attach(a, "a"), at_b = attach(b, "b"), at_client = attach(client, "client");
  OwnFd in_a = a.inside([&] { return listener(SOCK_STREAM, at_a, 8080); });
  OwnFd in_b = b.inside([&] { return listener(SOCK_STREAM, at_b, 8080); });
  program({{"shop/web:/IPv4", rule_of({cluster_address()}, {{at_a, 8080}, {at_b, 8080}})}});
  int of_a = 0, of_b = 0;
  for (int i = 0; i < 64; ++i) {
    Attempt made = client.inside([] { return connect(ip(kService), 80); });
    ASSERT_EQ(made.error, 0) << std::strerror(made.error);
    Socket peer;
    peer.size = sizeof(peer.storage);
    ASSERT_EQ(::getpeername(made.fd.get(), peer.address(), &peer.size), 0);
    EXPECT_EQ(address_in(peer.storage).to_string(), kService);
    // In the queue of one of them.
    pollfd both[2] = {{.fd = in_a.get(), .events = POLLIN}, {.fd = in_b.get(), .events = POLLIN}};
    ASSERT_GT(::poll(both, 2, 60'000), 0);
    bool is_a = both[0].revents & POLLIN;
    (is_a ? of_a : of_b)++;
    EXPECT_EQ(accept_from(is_a ? in_a : in_b), at_client.to_string());
  }
  // That 64 throws of a coin are all the same happens once in 2^63 runs.
  EXPECT_GT(of_a, 0);
  EXPECT_GT(of_b, 0);
}

TEST_F(ProxyServicesTest, OnePortOfTwoProtocolsIsTwo) {
  FakeShim a, client;
  IpAddress at_a = attach(a, "a"), at_client = attach(client, "client");
  OwnFd tcp = a.inside([&] { return listener(SOCK_STREAM, at_a, 5353); });
  OwnFd udp = a.inside([&] { return listener(SOCK_DGRAM, at_a, 5354); });
  program({{"kube-system/dns:tcp/IPv4", rule_of({cluster_address(kService, 53)}, {{at_a, 5353}})},
           {"kube-system/dns:udp/IPv4", rule_of({cluster_address(kService, 53)}, {{at_a, 5354}}, Protocol::kUdp)}});
  Attempt made = client.inside([] { return connect(ip(kService), 53); });
  EXPECT_EQ(made.error, 0);
  EXPECT_EQ(accept_from(tcp), at_client.to_string());
  OwnFd sender = client.inside([] { return bounded_socket(AF_INET, SOCK_DGRAM, 0); });
  send_to(sender, ip(kService), 53, "ping");
  Datagram came = receive_from(udp);
  EXPECT_EQ(came.text, "ping");
  EXPECT_EQ(came.from, at_client.to_string());
  send_to(udp, ip(came.from), came.port, "pong");
  Datagram back = receive_from(sender);
  EXPECT_EQ(back.text, "pong");
  EXPECT_EQ(back.from, kService);
}

TEST_F(ProxyServicesTest, AFlowOfUdpThatIsForgottenGoesWhereTheServiceLeadsNow) {
  FakeShim a, b, client;
  IpAddress at_a = attach(a, "a"), at_b = attach(b, "b");
  attach(client, "client");
  OwnFd in_a = a.inside([&] { return listener(SOCK_DGRAM, at_a, 53); });
  OwnFd in_b = b.inside([&] { return listener(SOCK_DGRAM, at_b, 53); });
  ServiceRule to_a = rule_of({cluster_address(kService, 53)}, {{at_a, 53}}, Protocol::kUdp);
  program({{"kube-system/dns:/IPv4", to_a}});
  OwnFd sender = client.inside([] { return bounded_socket(AF_INET, SOCK_DGRAM, 0); });
  auto ask = [&](FdRef in_pod) {
    send_to(sender, ip(kService), 53, "ping");
    Datagram came = receive_from(in_pod);
    if (came.text != "ping") return came.text;
    send_to(in_pod, ip(came.from), came.port, "pong");
    return receive_from(sender).text;
  };
  ASSERT_EQ(ask(in_a), "pong");
  change("kube-system/dns:/IPv4", rule_of({cluster_address(kService, 53)}, {{at_b, 53}}, Protocol::kUdp));
  EXPECT_EQ(ask(in_a), "pong");  // as before: it is one flow
  auto forgotten = forget_udp_flows(Family::kV4, [&](const UdpFlow& flow) {
    return flow.destination == ip(kService) && flow.destination_port == 53 && flow.answerer == at_a;
  });
  ASSERT_TRUE(ok(forgotten));
  EXPECT_GE(*forgotten, 1U);  // or more, of tests before this one
  EXPECT_EQ(ask(in_b), "pong");
}

TEST_F(ProxyServicesTest, APodComesBackToItself) {
  FakeShim a;
  IpAddress at_a = attach(a, "a");
  OwnFd in_a = a.inside([&] { return listener(SOCK_STREAM, at_a, 8080); });
  program({{"shop/web:/IPv4", rule_of({cluster_address()}, {{at_a, 8080}})}});
  Attempt made = a.inside([] { return connect(ip(kService), 80); });
  EXPECT_EQ(made.error, 0) << std::strerror(made.error);
  EXPECT_NE(accept_from(in_a), at_a.to_string());
}

TEST_F(ProxyServicesTest, WithoutEndpointsItRefusesAtOnceAndServesWhenThereIsOne) {
  FakeShim a, client;
  IpAddress at_a = attach(a, "a");
  attach(client, "client");
  OwnFd in_a = a.inside([&] { return listener(SOCK_STREAM, at_a, 8080); });
  ServiceRule none = rule_of({cluster_address()}, {});
  none.frontends[0].inside.answer = none.frontends[0].outside.answer = Answer::kReject;
  program({{"shop/web:/IPv4", none}});
  EXPECT_EQ(client.inside([] { return connect(ip(kService), 80).error; }), ECONNREFUSED);
  change("shop/web:/IPv4", rule_of({cluster_address()}, {{at_a, 8080}}));
  EXPECT_EQ(client.inside([] { return connect(ip(kService), 80).error; }), 0);
  change("shop/web:/IPv4", none);
  EXPECT_EQ(client.inside([] { return connect(ip(kService), 80).error; }), ECONNREFUSED);
}

TEST_F(ProxyServicesTest, ANodePortIsReachedFromOutsideFromPodsAndFromTheNode) {
  FakeShim a, client;
  IpAddress at_a = attach(a, "a");
  attach(client, "client");
  OwnFd in_a = a.inside([&] { return listener(SOCK_STREAM, at_a, 8080); });
  program({{"shop/web:/IPv4",
            rule_of({frontend(Frontend::Origin::kNodePort, "192.0.2.1", 30080)}, {{at_a, 8080}})}});
  EXPECT_EQ(outside->inside([&] { return connect(here, 30080).error; }), 0);
  EXPECT_EQ(accept_from(in_a), network->gateway().to_string());  // masqueraded: the answer comes back through the node
  EXPECT_EQ(client.inside([&] { return connect(here, 30080).error; }), 0);
  EXPECT_NE(accept_from(in_a), "nobody");
  EXPECT_EQ(connect(here, 30080).error, 0);
  EXPECT_NE(accept_from(in_a), "nobody");
  // Of no other address of the node.
  EXPECT_EQ(connect(ip("127.0.0.1"), 30080).error, ECONNREFUSED);
}

TEST_F(ProxyServicesTest, ALocalPolicyKeepsTheSourceAndDropsWhatHasNoEndpointHere) {
  FakeShim a, client;
  IpAddress at_a = attach(a, "a");
  IpAddress at_client = attach(client, "client");
  OwnFd in_a = a.inside([&] { return listener(SOCK_STREAM, at_a, 8080); });
  Frontend port = frontend(Frontend::Origin::kNodePort, "192.0.2.1", 30080, EndpointPool::kLocal);
  program({{"shop/web:/IPv4", rule_of({port}, {{at_a, 8080}})}});
  EXPECT_EQ(outside->inside([&] { return connect(here, 30080).error; }), 0);
  EXPECT_EQ(accept_from(in_a), there.to_string());
  // No endpoint of this node: who is outside is not answered, who is in the cluster is served by any.
  ServiceRule away = rule_of({port}, {{at_a, 8080}});
  away.local.clear();
  away.frontends[0].outside.answer = Answer::kDrop;
  change("shop/web:/IPv4", away);
  EXPECT_THAT(outside->inside([&] { return connect(here, 30080, std::chrono::seconds(2)).error; }),
              AnyOf(EINPROGRESS, EAGAIN, ETIMEDOUT));
  EXPECT_EQ(client.inside([&] { return connect(here, 30080).error; }), 0);
  EXPECT_EQ(accept_from(in_a), at_client.to_string());
  EXPECT_EQ(connect(here, 30080).error, 0);
}

TEST_F(ProxyServicesTest, ALoadBalancersAddressIsForItsRangesAndTheNode) {
  FakeShim a;
  IpAddress at_a = attach(a, "a");
  OwnFd in_a = a.inside([&] { return listener(SOCK_STREAM, at_a, 8080); });
  // The balancer's address is one that `outside` has a route for.
  ServiceRule rule = rule_of({frontend(Frontend::Origin::kLoadBalancer, "192.0.2.1", 8443)}, {{at_a, 8080}});
  rule.source_ranges = {Cidr::parse("192.0.2.2/32").value(), Cidr::parse("198.51.100.0/24").value()};
  ServiceRule other = rule;
  other.frontends[0].port = 8444;
  other.source_ranges = {Cidr::parse("198.51.100.0/24").value()};
  program({{"shop/web:/IPv4", rule}, {"shop/other:/IPv4", other}});
  EXPECT_EQ(outside->inside([&] { return connect(here, 8443).error; }), 0);
  EXPECT_THAT(outside->inside([&] { return connect(here, 8444, std::chrono::seconds(2)).error; }),
              AnyOf(EINPROGRESS, EAGAIN, ETIMEDOUT));
  EXPECT_EQ(connect(here, 8444).error, 0);
  other.source_ranges = {Cidr::parse("192.0.2.0/24").value()};
  change("shop/other:/IPv4", other);
  EXPECT_EQ(outside->inside([&] { return connect(here, 8444).error; }), 0);
}

TEST_F(ProxyServicesTest, AClientStaysWithItsEndpoint) {
  std::vector<std::unique_ptr<FakeShim>> pods;
  std::vector<OwnFd> sockets;
  std::vector<EndpointAddress> endpoints;
  for (int i = 0; i < 5; ++i) {
    pods.push_back(std::make_unique<FakeShim>());
    IpAddress at = attach(*pods.back(), "pod" + std::to_string(i));
    endpoints.push_back({at, 8080});
    sockets.push_back(pods.back()->inside([&] { return listener(SOCK_STREAM, at, 8080); }));
  }
  FakeShim client;
  attach(client, "client");
  auto visit = [&]() -> std::size_t {
    Attempt made = client.inside([] { return connect(ip(kService), 80); });
    EXPECT_EQ(made.error, 0) << std::strerror(made.error);
    std::vector<pollfd> all;
    for (const OwnFd& fd : sockets) all.push_back({.fd = fd.get(), .events = POLLIN});
    EXPECT_GT(::poll(all.data(), all.size(), 60'000), 0);
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (all[i].revents & POLLIN) {
        accept_from(sockets[i]);
        return i;
      }
    }
    return all.size();
  };
  ServiceRule rule = rule_of({cluster_address()}, endpoints);
  rule.affinity_seconds = 600;
  program({{"shop/web:/IPv4", rule}});
  std::size_t mine = visit();
  ASSERT_LT(mine, endpoints.size());
  for (int i = 0; i < 16; ++i) EXPECT_EQ(visit(), mine);
  // One that is not mine goes, and whoever takes its number is nothing to me.
  ServiceRule without = rule;
  EndpointAddress other = endpoints[(mine + 1) % endpoints.size()];
  std::erase(without.cluster, other);
  change("shop/web:/IPv4", without);
  for (int i = 0; i < 16; ++i) EXPECT_EQ(visit(), mine);
  // Mine goes: another one is mine from then on.
  ServiceRule gone = without;
  std::erase(gone.cluster, endpoints[mine]);
  change("shop/web:/IPv4", gone);
  std::size_t next = visit();
  EXPECT_NE(next, mine);
  for (int i = 0; i < 16; ++i) EXPECT_EQ(visit(), next);
  // Without affinity all are met; 64 of the same three times out of three happen never.
  ServiceRule any = gone;
  any.affinity_seconds = 0;
  change("shop/web:/IPv4", any);
  std::set<std::size_t> met;
  for (int i = 0; i < 64; ++i) met.insert(visit());
  EXPECT_EQ(met.size(), 3U);
}

// The built-in network has IPv4 alone: the node's own address is in the place of a pod's.
TEST_F(ProxyServicesTest, IPv6IsServedInTheSameWay) {
  IpAddress own = ip("::1");
  OwnFd server = listener(SOCK_STREAM, own, 8080);
  ServiceRule rule = rule_of({cluster_address("::1", 80)}, {{own, 8080}});
  ServiceRule remembering = rule_of({cluster_address("::1", 82)}, {{own, 8080}});
  remembering.affinity_seconds = 60;
  ServiceRule none = rule_of({cluster_address("::1", 81)}, {});
  none.family = Family::kV6;
  none.frontends[0].inside.answer = none.frontends[0].outside.answer = Answer::kReject;
  program({{"shop/web:/IPv6", rule}, {"shop/nobody:/IPv6", none}, {"shop/known:/IPv6", remembering}});
  EXPECT_EQ(connect(own, 80).error, 0);
  EXPECT_NE(accept_from(server), "nobody");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(connect(own, 82).error, 0);
    EXPECT_NE(accept_from(server), "nobody");
  }
  EXPECT_EQ(connect(own, 81).error, ECONNREFUSED);
}

// None of them keeps the kernel from taking the others.
TEST_F(ProxyServicesTest, RulesOfEveryShapeAreTakenAndChanged) {
  std::vector<EndpointAddress> many;
  for (std::uint64_t i = 0; i < 3000; ++i) many.push_back({*ip("10.128.0.1").plus(i), 8080});
  ServiceRule large = rule_of({cluster_address("10.96.0.20"), cluster_address("10.96.0.20")}, many);
  large.affinity_seconds = 86400;
  ServiceRule six =
      rule_of({cluster_address("fd00::10")}, {{ip("fd00:1::1"), 1}, {ip("fd00:1::2"), 65535}}, Protocol::kSctp);
  six.frontends.push_back(frontend(Frontend::Origin::kLoadBalancer, "2001:db8::1", 443, EndpointPool::kLocal));
  six.source_ranges = {Cidr::parse("::/0").value()};
  six.affinity_seconds = 1;
  ServiceRule all = rule_of({frontend(Frontend::Origin::kLoadBalancer, "203.0.113.1", 80)}, many);
  all.source_ranges = {Cidr::parse("0.0.0.0/0").value()};
  ServiceRules rules{{std::string(253, 'n') + "/" + std::string(253, 's') + ":/IPv4", large},
                     {"a/six:/IPv6", six},
                     {"a/all:/IPv4", all}};
  // Each as the other, one after the other, and each from nothing to all and back.
  program(rules);
  for (const auto& [name, unused] : rules) {
    for (const auto& [other, rule] : rules) {
      if (rule.family == rules.at(name).family) change(name, rule);
    }
    ASSERT_TRUE(ok(backend->apply({.set = {}, .removed = {name}})));
    change(name, rules.at(name));
    ServiceRule shorter = rules.at(name);
    while (shorter.cluster.size() > 1) {
      shorter.cluster.resize(shorter.cluster.size() / 2);
      shorter.local = shorter.cluster;
      change(name, shorter);
    }
    change(name, rules.at(name));
  }
  ASSERT_TRUE(ok(backend->apply({.set = {}, .removed = {"a/six:/IPv6", "a/all:/IPv4", "nobody's"}})));
  EXPECT_THAT(listed(), HasSubstr("10.128.0.1"));
}

TEST_F(ProxyServicesTest, ConnectionsLiveWhenAllIsReplaced) {
  FakeShim a, client;
  IpAddress at_a = attach(a, "a");
  attach(client, "client");
  OwnFd in_a = a.inside([&] { return listener(SOCK_STREAM, at_a, 8080); });
  program({{"shop/web:/IPv4", rule_of({cluster_address()}, {{at_a, 8080}})}});
  Attempt made = client.inside([] { return connect(ip(kService), 80); });
  ASSERT_EQ(made.error, 0);
  OwnFd served(::accept4(in_a.get(), nullptr, nullptr, SOCK_CLOEXEC));
  bound_waits(served, std::chrono::seconds(60));
  // Another process takes over what is there.
  backend = std::move(nftables::NftablesBackend::open("testnode").value());
  program(rules);
  ASSERT_EQ(::send(made.fd.get(), "hello", 5, MSG_NOSIGNAL), 5);
  char buffer[8] = {};
  EXPECT_EQ(::recv(served.get(), buffer, 5, MSG_WAITALL), 5);
  EXPECT_STREQ(buffer, "hello");
  EXPECT_EQ(client.inside([] { return connect(ip(kService), 80).error; }), 0);
}

// CVE-2019-9946.
TEST_F(ProxyServicesTest, ItsNodePortComesBeforeAPodsPortOfTheHost) {
  FakeShim a, b;
  IpAddress at_a = attach(a, "a"), at_b = attach(b, "b");
  OwnFd in_a = a.inside([&] { return listener(SOCK_STREAM, at_a, 8080); });
  OwnFd in_b = b.inside([&] { return listener(SOCK_STREAM, at_b, 8080); });
  ASSERT_TRUE(ok(network->map_ports("b", {{.host_port = 30080, .pod_port = 8080}})));
  EXPECT_EQ(outside->inside([&] { return connect(here, 30080).error; }), 0);
  EXPECT_NE(accept_from(in_b), "nobody");
  program({{"shop/web:/IPv4",
            rule_of({frontend(Frontend::Origin::kNodePort, "192.0.2.1", 30080)}, {{at_a, 8080}})}});
  EXPECT_EQ(outside->inside([&] { return connect(here, 30080).error; }), 0);
  EXPECT_NE(accept_from(in_a), "nobody");
  EXPECT_EQ(connect(here, 30080).error, 0);
  EXPECT_NE(accept_from(in_a), "nobody");
}

TEST_F(ProxyServicesTest, OfTwoThatClaimAnAddressTheClusterAddressHasIt) {
  FakeShim a, b, client;
  IpAddress at_a = attach(a, "a"), at_b = attach(b, "b");
  attach(client, "client");
  OwnFd in_a = a.inside([&] { return listener(SOCK_STREAM, at_a, 8080); });
  OwnFd in_b = b.inside([&] { return listener(SOCK_STREAM, at_b, 8080); });
  program({{"shop/web:/IPv4", rule_of({cluster_address()}, {{at_a, 8080}})}});
  change("aaa/thief:/IPv4", rule_of({frontend(Frontend::Origin::kExternalAddress, kService, 80)}, {{at_b, 8080}}));
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(client.inside([] { return connect(ip(kService), 80).error; }), 0);
    EXPECT_NE(accept_from(in_a), "nobody");
  }
  ASSERT_TRUE(ok(backend->apply({.set = {}, .removed = {"shop/web:/IPv4"}})));
  EXPECT_EQ(client.inside([] { return connect(ip(kService), 80).error; }), 0);
  EXPECT_NE(accept_from(in_b), "nobody");
}

void run_nft(const std::string& commands) {
  std::unique_ptr<nft_ctx, decltype(&::nft_ctx_free)> context(::nft_ctx_new(NFT_CTX_DEFAULT), &::nft_ctx_free);
  ::nft_ctx_buffer_error(context.get());
  EXPECT_EQ(::nft_run_cmd_from_buffer(context.get(), commands.c_str()), 0) << ::nft_ctx_get_error_buffer(context.get());
}

TEST_F(ProxyServicesTest, OthersTablesAreUntouchedAndSeeOurs) {
  run_nft(R"(table inet theirs {
               set mine {
                 type ipv4_addr
                 elements = { 192.0.2.77 }
               }
               chain c {
                 type filter hook forward priority 0
                 ip saddr @mine counter
               }
             })");
  FakeShim a;
  IpAddress at_a = attach(a, "a");
  ServiceRule rule = rule_of({cluster_address()}, {{at_a, 8080}});
  rule.affinity_seconds = 60;
  program({{"shop/web:/IPv4", rule}});
  std::string all = listed();
  EXPECT_THAT(all, HasSubstr("192.0.2.77"));
  EXPECT_THAT(all, HasSubstr(backend->table()));
  // The built-in network's own commands work beside it.
  ASSERT_TRUE(ok(network->map_ports("a", {{.host_port = 8081, .pod_port = 80}})));
  ASSERT_TRUE(ok(backend->remove()));
  EXPECT_THAT(listed(), Not(HasSubstr(backend->table())));
  EXPECT_THAT(listed(), HasSubstr("192.0.2.77"));
  run_nft("delete table inet theirs");
}

TEST_F(ProxyServicesTest, ATableOfTheNameThatIsNotOursIsLeft) {
  run_nft("table inet " + backend->table() + " { comment \"somebody's\"; }");
  EXPECT_EQ(backend->replace({}, {}).error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(backend->remove().error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(listed(), HasSubstr("somebody's"));
  run_nft("delete table inet " + backend->table());
}

}  // namespace
}  // namespace gantry::proxy
