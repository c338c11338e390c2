// SPDX-License-Identifier: Apache-2.0
#include "netns/peer_nodes.h"

#include <gmock/gmock.h>

namespace gantry::netns {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

Cidr cidr(std::string_view text) { return Cidr::parse(text).value(); }
IpAddress ip(std::string_view text) { return IpAddress::parse(text).value(); }
PeerNode node(std::string name, std::string_view range, std::string_view address) {
  return {.name = std::move(name), .ranges = {cidr(range)}, .addresses = {ip(address)}};
}
const OwnNode kOwn{.ranges = {cidr("10.244.0.0/24"), cidr("fd01::/64")},
                   .addresses = {ip("192.0.2.1"), ip("2001:db8::1")}};

ScreenedNodes screen(std::vector<PeerNode> nodes, std::optional<Cidr> cluster = {}) {
  const IpAddress reserved[] = {ip("10.96.0.1"), ip("10.96.0.10")};
  return screen_nodes(kOwn, std::move(nodes), reserved, cluster);
}

TEST(PeerNodes, NodesOfRangesOfTheirOwnAreTaken) {
  auto good = screen({node("b", "10.244.1.0/24", "192.0.2.2"), node("c", "10.244.2.0/24", "192.0.2.3"),
                      node("d", "fd01:0:0:1::/64", "2001:db8::2")});
  EXPECT_EQ(good.peers.size(), 3u);
  EXPECT_THAT(good.refused, IsEmpty());
}

TEST(PeerNodes, NodesThatAreNotReadyAreNeither) {
  auto waiting = screen({{.name = "b", .ranges = {}, .addresses = {ip("192.0.2.2")}},
                         {.name = "c", .ranges = {cidr("10.244.2.0/24")}, .addresses = {}}});
  EXPECT_THAT(waiting.peers, IsEmpty());
  EXPECT_THAT(waiting.refused, IsEmpty());
}

TEST(PeerNodes, NobodyTakesWhatIsOthers) {
  const struct {
    std::string_view range, address, why;
  } kWrong[] = {{"0.0.0.0/0", "192.0.2.2", "too large"},
                {"10.0.0.0/7", "192.0.2.2", "too large"},
                {"::/0", "192.0.2.2", "too large"},
                {"10.244.0.0/24", "192.0.2.2", "overlaps that of this node"},
                {"10.244.0.128/25", "192.0.2.2", "overlaps that of this node"},
                {"10.0.0.0/8", "192.0.2.2", "contains 10.96.0.1, a service's address"},
                {"10.96.0.0/24", "192.0.2.2", "a service's address"},
                {"192.0.2.0/24", "192.0.2.2", "a node's address"},
                {"192.0.2.1/32", "192.0.2.2", "a node's address"},
                {"127.0.0.0/24", "192.0.2.2", "loopback"},
                {"169.254.169.0/24", "192.0.2.2", "link-local"},
                {"224.0.1.0/24", "192.0.2.2", "multicast"},
                {"fe80::/64", "192.0.2.2", "link-local"},
                {"::ffff:0:0/96", "192.0.2.2", "mapped"},
                {"10.244.1.0/24", "192.0.2.1", "this node's own"},
                {"10.244.1.0/24", "127.0.0.1", "loopback"},
                {"10.244.1.0/24", "0.0.0.0", "this network"}};
  for (const auto& wrong : kWrong) {
    auto screened = screen({node("rogue", wrong.range, wrong.address), node("good", "10.244.9.0/24", "192.0.2.9")});
    ASSERT_EQ(screened.refused.size(), 1u) << wrong.range;
    EXPECT_THAT(screened.refused[0].reason, HasSubstr(wrong.why));
    EXPECT_EQ(screened.refused[0].name, "rogue");
    ASSERT_EQ(screened.peers.size(), 1u) << "others are not hurt";
    EXPECT_EQ(screened.peers[0].name, "good");
  }
}

TEST(PeerNodes, OfTwoWithOneRangeTheFirstKeepsIt) {
  for (std::string_view second : {"10.244.1.0/24", "10.244.0.0/16", "10.244.1.7/32"}) {
    auto screened = screen({node("b", "10.244.1.0/24", "192.0.2.2"), node("c", second, "192.0.2.3")});
    ASSERT_EQ(screened.peers.size(), 1u) << second;
    EXPECT_EQ(screened.peers[0].name, "b");
    EXPECT_THAT(screened.refused[0].reason, HasSubstr("overlaps"));
  }
}

TEST(PeerNodes, AnAddressOfAnothersPodsHurtsNobodyElse) {
  auto screened = screen({node("b", "10.244.1.0/24", "192.0.2.2"), node("rogue", "10.244.2.0/24", "10.244.1.5"),
                          node("own", "10.244.3.0/24", "10.244.0.5")});
  ASSERT_EQ(screened.peers.size(), 1u);
  EXPECT_EQ(screened.peers[0].name, "b");
  ASSERT_EQ(screened.refused.size(), 2u);
  EXPECT_THAT(screened.refused[0].reason, HasSubstr("of the pods of b"));
  EXPECT_THAT(screened.refused[1].reason, HasSubstr("of the pods of this node"));
}

TEST(PeerNodes, ARangeWithANodesAddressIsThatNodesWhoWasThereFirst) {
  auto screened = screen({node("b", "10.244.1.0/24", "10.250.0.2"), node("c", "10.250.0.0/24", "192.0.2.3"),
                          node("around", "10.251.0.0/24", "10.251.0.7")});
  ASSERT_EQ(screened.peers.size(), 1u);
  EXPECT_EQ(screened.peers[0].name, "b");
  ASSERT_EQ(screened.refused.size(), 2u);
  EXPECT_THAT(screened.refused[0].reason, HasSubstr("contains 10.250.0.2, a node's address"));
  EXPECT_THAT(screened.refused[1].reason, HasSubstr("contains 10.251.0.7, a node's address"));
}

TEST(PeerNodes, AWideRangeIsSeenAmongManySmallOnes) {
  std::vector<PeerNode> nodes;
  for (int i = 1; i < 9; ++i) {
    const std::string range = "10.245." + std::to_string(i) + ".0/24", address = "192.0.2." + std::to_string(i + 10);
    nodes.push_back(node(std::to_string(i), range, address));
  }
  nodes.push_back(node("wide", "10.245.0.0/20", "192.0.2.99"));
  auto screened = screen(std::move(nodes));
  EXPECT_EQ(screened.peers.size(), 8u);
  ASSERT_EQ(screened.refused.size(), 1u);
  EXPECT_EQ(screened.refused[0].name, "wide");
}

TEST(PeerNodes, ARangeIsWithinTheClustersWhenThatIsKnown) {
  auto screened = screen({node("b", "10.244.1.0/24", "192.0.2.2"), node("c", "10.245.1.0/24", "192.0.2.3"),
                          node("d", "fd01:0:0:1::/64", "2001:db8::2")},
                         cidr("10.244.0.0/16"));
  EXPECT_EQ(screened.peers.size(), 2u) << "of the other family it says nothing";
  ASSERT_EQ(screened.refused.size(), 1u);
  EXPECT_THAT(screened.refused[0].reason, HasSubstr("not within 10.244.0.0/16"));
}

}  // namespace
}  // namespace gantry::netns
