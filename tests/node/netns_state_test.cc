// SPDX-License-Identifier: Apache-2.0
// deps: gantry_netns
// What the pod network makes, takes for its own, finds again after a crash and leaves behind: nothing.
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "netns/database_ledger.h"
#include "netns/nft_table.h"
#include "tests/support/pod_network_fixture.h"

namespace gantry::netns {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;
using Clock = std::chrono::steady_clock;

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

TEST_F(PodNetworkTest, ManyAreDetachedTogetherAndOneThatCannotBeHoldsUpNone) {
  LinkMarks marks("testnode");
  auto socket = NetlinkSocket::open(NETLINK_ROUTE).value();
  FakeShim a, b, c, stays;
  for (auto [shim, id] : {std::pair{&a, "a"}, std::pair{&b, "b"}, std::pair{&c, "c"}, std::pair{&stays, "stays"}}) {
    attach(*shim, id);
  }
  auto index_of = [&](const char* id) {
    return parse_link(socket.exchange(get_link(marks.host_name(id)))->front())->index;
  };
  // Somebody took its name.
  ASSERT_TRUE(ok(socket.send(set_alias(marks.host_name("a"), "somebody's"))));
  // A process that was killed came as far as this with it.
  ASSERT_TRUE(ok(socket.send(set_group(index_of("b"), marks.ending_group()))));
  auto detached = network->detach(std::vector<std::string>{"a", "gone", "b", "c"});
  ASSERT_FALSE(detached);
  EXPECT_THAT(detached.error().message(), HasSubstr("detach sandbox a from the pod network"));
  auto left = network->list();
  ASSERT_TRUE(ok(left));
  ASSERT_THAT(*left, SizeIs(1));
  EXPECT_EQ(left->front().sandbox_id, "stays");
  auto others = parse_link(socket.exchange(get_link(marks.host_name("a")))->front());
  EXPECT_EQ(others->alias, "somebody's");
  EXPECT_THAT(network->held(), SizeIs(2)) << "of the one that stays, and of the one that is somebody's now";
  EXPECT_TRUE(ok(socket.send(delete_link(others->index))));
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

TEST_F(PodNetworkTest, TheRangeComesLater) {
  network.reset();
  PodNetworkConfig later = config();
  later.pod_cidr.reset();
  network = PodNetwork::open(later, ledger).value();
  ASSERT_TRUE(ok(network->release_node()));
  ASSERT_TRUE(ok(network->prepare_node()));
  EXPECT_EQ(network->range(), std::nullopt);
  EXPECT_EQ(count_nftables(NFT_MSG_GETTABLE), 0U);
  FakeShim pod;
  auto refused = network->attach("a", pod.netns, pod.route);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kUnavailable);
  auto address = network->node_address();
  ASSERT_FALSE(address);
  EXPECT_THAT(address.error().message(), HasSubstr("--node-ip"));

  EXPECT_FALSE(network->set_range(Cidr::parse("fd00::/64").value()));
  EXPECT_FALSE(network->set_range(Cidr::parse("10.244.1.0/31").value()));
  EXPECT_EQ(network->range(), std::nullopt);
  Cidr range = Cidr::parse("10.244.1.0/24").value();
  ASSERT_TRUE(ok(network->set_range(range)));
  EXPECT_EQ(network->range(), range);
  EXPECT_EQ(network->gateway(), ip("10.244.1.1"));
  EXPECT_EQ(ledger.recorded_range, range);
  EXPECT_EQ(count_nftables(NFT_MSG_GETTABLE), 1U);
  EXPECT_EQ(attach(pod, "a"), ip("10.244.1.2"));
  OwnFd in_pod = pod.inside([&] { return bound_socket(SOCK_DGRAM, ip("10.244.1.2"), 1000); });
  OwnFd on_host = bound_socket(SOCK_DGRAM, IpAddress(), 1000);
  send_to(in_pod, ip("10.244.1.1"), 1000, "hello");
  EXPECT_EQ(receive_from(on_host).from, "10.244.1.2");
  EXPECT_TRUE(ok(network->set_range(range)));
}

TEST_F(PodNetworkTest, TheRangeChangesWhenNobodyHasAnAddressThatItCannotHaveGiven) {
  ledger.newest = ip("10.88.0.9");
  network = open_network();
  ASSERT_TRUE(ok(network->prepare_node()));
  FakeShim a, b;
  EXPECT_EQ(attach(a, "a"), ip("10.88.0.10"));
  EXPECT_TRUE(ok(network->map_ports("a", {{.protocol = Protocol::kUdp, .host_port = 8080, .pod_port = 1000}})));
  auto refused = network->set_range(Cidr::parse("10.244.1.0/24").value());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(refused.error().message(), HasSubstr("pod sandbox a has address 10.88.0.10"));
  EXPECT_EQ(network->gateway(), ip("10.88.0.1"));
  EXPECT_EQ(ledger.recorded_range, std::nullopt);
  // A part of the range, with its pods and their ports in it.
  OwnFd in_a = a.inside([&] { return bound_socket(SOCK_DGRAM, ip("10.88.0.10"), 1000); });
  ASSERT_TRUE(ok(network->set_range(Cidr::parse("10.88.0.0/28").value())));
  EXPECT_EQ(attach(b, "b"), ip("10.88.0.11"));
  OwnFd in_b = b.inside([&] { return bound_socket(SOCK_DGRAM, ip("10.88.0.11"), 0); });
  send_to(in_b, ip("10.88.0.1"), 8080, "hello");
  EXPECT_EQ(receive_from(in_a).from, "10.88.0.11");

  ASSERT_TRUE(ok(network->detach("a")));
  ASSERT_TRUE(ok(network->detach("b")));
  ledger.refuses_range = true;
  EXPECT_FALSE(network->set_range(Cidr::parse("10.244.1.0/24").value()));
  EXPECT_EQ(network->range(), Cidr::parse("10.88.0.0/28").value());
  ledger.refuses_range = false;
  ASSERT_TRUE(ok(network->set_range(Cidr::parse("10.244.1.0/24").value())));
  FakeShim c;
  EXPECT_EQ(attach(c, "c"), ip("10.244.1.2"));
}

TEST_F(PodNetworkTest, KilledWhileTheRangeChangesItHasOneOfTheTwo) {
  const Cidr ranges[] = {Cidr::parse("10.244.1.0/24").value(), Cidr::parse("10.244.2.0/24").value()};
  FakeShim pod;
  Inventory before = take_inventory();
  for (int round = 0; round < 12; ++round) {
    auto pair = sys::seqpacket_pair(false).value();
    pid_t daemon = ::fork();
    if (daemon == 0) {
      pair.left.close();
      auto disk = DatabaseLedger::open("/mnt/ranges.db");
      auto one =
          disk ? PodNetwork::open({.pod_cidr = {}, .instance = "testnode"}, *disk) : std::unexpected(disk.error());
      for (int i = 0; one; ++i) {
        if (!(*one)->set_range(ranges[i % 2]) || !sys::send_packet(pair.right, "x", {})) break;
        if (!(*one)->attach("a", pod.netns, pod.route) || !(*one)->detach("a")) break;
      }
      std::_Exit(1);
    }
    pair.right.close();
    for (int step = 0; step < 1 + round % 3; ++step) {
      char byte;
      auto packet = sys::receive_packet(pair.left, {&byte, 1});
      ASSERT_TRUE(packet && packet->size == 1) << "round " << round << ": the child gave up at step " << step;
    }
    auto until = Clock::now() + std::chrono::milliseconds(5 * round);
    while (Clock::now() < until) {
    }
    ::kill(daemon, SIGKILL);
    ::waitpid(daemon, nullptr, 0);

    DatabaseLedger disk = std::move(DatabaseLedger::open("/mnt/ranges.db").value());
    auto range = disk.range().value();
    ASSERT_TRUE(range == ranges[0] || range == ranges[1]) << "round " << round;
    auto again = std::move(PodNetwork::open({.pod_cidr = range, .instance = "testnode"}, disk).value());
    for (const HeldAddress& held : again->held()) EXPECT_TRUE(range->contains(held.address)) << "round " << round;
    EXPECT_TRUE(ok(again->prepare_node()));
    auto attached = again->attach("a", pod.netns, pod.route);
    ASSERT_TRUE(ok(attached)) << "round " << round;
    EXPECT_TRUE(range->contains(attached->addresses.at(0))) << "round " << round;
    EXPECT_TRUE(ok(again->detach("a")));
    EXPECT_THAT(*disk.load(), IsEmpty());
  }
  EXPECT_EQ(take_inventory(), before);
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
  std::string table = NftTable("testnode").name();
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
  EXPECT_GT(before.nft_rules, 2U);
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

}  // namespace
}  // namespace gantry::netns
