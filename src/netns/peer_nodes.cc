// SPDX-License-Identifier: Apache-2.0
#include "netns/peer_nodes.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"

namespace gantry::netns {
namespace {

// Shorter prefixes are no node's.
constexpr unsigned kShortestV4 = 8, kShortestV6 = 16;

// What is never a pod's or a node's, and what for.
struct Special {
  const char* range;
  const char* what;
};
constexpr Special kSpecial[] = {
    {"0.0.0.0/8", "this network"},      {"127.0.0.0/8", "loopback"}, {"169.254.0.0/16", "link-local"},
    {"224.0.0.0/3", "multicast and reserved"}, {"::/16", "loopback and mapped IPv4"}, {"fe80::/10", "link-local"},
    {"ff00::/8", "multicast"}};

std::optional<std::string> special_use(const Cidr& range) {
  for (const auto& [text, what] : kSpecial) {
    if (overlap(*Cidr::parse(text), range)) return absl::StrCat("is of ", text, " (", what, ")");
  }
  return std::nullopt;
}

// Sorted by their first address, ranges that don't overlap: who has one that overlaps this one.
using Claims = std::map<Cidr, std::string>;
const std::string* claimed(const Claims& claims, const Cidr& range) {
  auto after = claims.upper_bound(range);
  if (after != claims.end() && overlap(after->first, range)) return &after->second;
  if (after != claims.begin() && overlap(std::prev(after)->first, range)) return &std::prev(after)->second;
  return nullptr;
}

std::optional<IpAddress> first_within(std::span<const IpAddress> sorted, const Cidr& range) {
  auto found = std::ranges::lower_bound(sorted, range.network());
  if (found == sorted.end() || !range.contains(*found)) return std::nullopt;
  return *found;
}

struct Screen {
  std::set<IpAddress> nodes;  // addresses of this one, and of those that were there before
  std::span<const IpAddress> reserved;
  const std::optional<Cidr>& cluster;

  std::optional<std::string> objection(const Cidr& range) const {
    if (range.prefix() < (range.family() == Family::kV4 ? kShortestV4 : kShortestV6)) return "is too large";
    if (auto use = special_use(range)) return use;
    if (cluster && cluster->family() == range.family() && !cluster->contains(range)) {
      return absl::StrCat("is not within ", cluster->to_string(), ", the cluster's");
    }
    if (auto node = nodes.lower_bound(range.network()); node != nodes.end() && range.contains(*node)) {
      return absl::StrCat("contains ", node->to_string(), ", a node's address");
    }
    if (auto taken = first_within(reserved, range)) {
      return absl::StrCat("contains ", taken->to_string(), ", a service's address");
    }
    return std::nullopt;
  }
};

std::optional<std::string> objection(const PeerNode& node, const OwnNode& own, const Screen& screen,
                                     const Claims& claims) {
  for (const IpAddress& address : node.addresses) {
    if (auto use = special_use(*Cidr::of(address, address.bits()))) {
      return absl::StrCat("its address ", address.to_string(), " ", *use);
    }
    if (std::ranges::find(own.addresses, address) != own.addresses.end()) {
      return absl::StrCat("its address ", address.to_string(), " is this node's own");
    }
    if (const std::string* other = claimed(claims, *Cidr::of(address, address.bits()))) {
      return absl::StrCat("its address ", address.to_string(), " is of the pods of ", *other);
    }
  }
  for (const Cidr& range : node.ranges) {
    if (auto why = screen.objection(range)) return absl::StrCat("its range ", range.to_string(), " ", *why);
    if (const std::string* other = claimed(claims, range)) {
      return absl::StrCat("its range ", range.to_string(), " overlaps that of ", *other);
    }
  }
  return std::nullopt;
}

}  // namespace

bool overlap(const Cidr& a, const Cidr& b) { return a.contains(b) || b.contains(a); }

ScreenedNodes screen_nodes(const OwnNode& own, std::vector<PeerNode> nodes, std::span<const IpAddress> reserved,
                           const std::optional<Cidr>& cluster) {
  Screen screen{.nodes = {own.addresses.begin(), own.addresses.end()}, .reserved = reserved, .cluster = cluster};
  Claims claims;
  for (const Cidr& range : own.ranges) claims.emplace(range, "this node");
  ScreenedNodes screened;
  for (PeerNode& node : nodes) {
    // Of the pods of a node that was there before: that node keeps its range.
    for (const IpAddress& address : node.addresses) {
      if (claimed(claims, *Cidr::of(address, address.bits())) == nullptr) screen.nodes.insert(address);
    }
    if (node.ranges.empty() || node.addresses.empty()) continue;
    if (auto why = objection(node, own, screen, claims)) {
      screened.refused.push_back({std::move(node.name), std::move(*why)});
      continue;
    }
    for (const Cidr& range : node.ranges) claims.emplace(range, node.name);
    screened.peers.push_back(std::move(node));
  }
  return screened;
}

}  // namespace gantry::netns
