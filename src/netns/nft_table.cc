// SPDX-License-Identifier: Apache-2.0
#include "netns/nft_table.h"

#include <nftables/libnftables.h>

#include <algorithm>
#include <iterator>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "netns/nft_mark.h"
#include "netns/node_routes.h"

namespace gantry::netns {
namespace {

// The first rule drops what the way back to its source address does not leave by the link that it came in by: the
// reverse-path filter again, for both families, out of reach of net.ipv4.conf.all.rp_filter and of udev. The second is
// for links on which route_localnet is set, so that a connection of the host's from 127.0.0.1 can go to a pod: nothing
// may come the other way (CVE-2020-8558). Nor does a packet from elsewhere get to a pod by that address: it is left as
// it is, for the kernel to drop.
//
// VXLAN has no proof of who sends: what comes to its port from an address that is no node's is dropped before it is
// taken apart. Pods can send none from another address than their own, nor get this node's by being masqueraded: what
// is forwarded to that port of a node is dropped, unless it is a node's. And what is in it has to be from a pod that is
// reached that way, to a pod of this node.
constexpr const char* kRules = R"(
add table inet NAME
delete table inet NAME
table inet NAME {
  comment "COMMENT"
  chain own-address-only {
    type filter hook prerouting priority raw; policy accept;
    iifgroup GROUP fib saddr . iif oif missing drop
    iifgroup GROUP ip daddr 127.0.0.0/8 drop
    iifgroup OVERLAY fib saddr . iif oif missing drop
    iifgroup OVERLAY FAMILY daddr != PODS drop
  }
  set ranges {
    type FAMILY_TYPE
    flags interval
  }
  set overlay-ports {
    type inet_service
  }
  set overlay-nodes {
    type ipv4_addr
  }
  set overlay-nodes6 {
    type ipv6_addr
  }
  chain overlay-from-nodes-only {
    type filter hook input priority filter; policy accept;
    udp dport @overlay-ports ip saddr != @overlay-nodes drop
    udp dport @overlay-ports ip6 saddr != @overlay-nodes6 drop
  }
  map ports {
    type inet_proto . inet_service : ipv4_addr . inet_service
  }
  map ports-of-addresses {
    type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
  }
  set pods-with-ports {
    type ipv4_addr . ipv4_addr
  }
  chain overlay-not-for-others {
    type filter hook forward priority filter; policy accept;
    udp dport @overlay-ports ip daddr @overlay-nodes ip saddr != @overlay-nodes drop
    udp dport @overlay-ports ip6 daddr @overlay-nodes6 ip6 saddr != @overlay-nodes6 drop
  }
  chain to-pods {
    dnat ip to ip daddr . meta l4proto . th dport map @ports-of-addresses
    dnat ip to meta l4proto . th dport map @ports
  }
  chain from-elsewhere {
    type nat hook prerouting priority dstnat; policy accept;
    ip daddr != 127.0.0.0/8 fib daddr type local jump to-pods
  }
  chain from-here {
    type nat hook output priority -100; policy accept;
    meta nfproto ipv4 fib daddr type local jump to-pods
  }
  chain to-outside {
    type nat hook postrouting priority srcnat; policy accept;
    FAMILY saddr PODS FAMILY daddr != @ranges masquerade fully-random
    oifgroup GROUP ip saddr 127.0.0.0/8 masquerade fully-random
    oifgroup GROUP ip saddr . ip daddr @pods-with-ports masquerade fully-random
  }
}
)";

// A pod comes back to itself by a port of the host: it must not see its own address as the other one's.
std::string elements_of(const std::string& table, const char* verb, std::span<const PortTarget> ports) {
  std::string text;
  for (const auto& [port, pod] : ports) {
    std::string key = absl::StrCat(to_string(port.protocol), " . ", port.host_port);
    std::string map = "ports";
    if (port.host_address) {
      key = absl::StrCat(port.host_address->to_string(), " . ", key);
      map = "ports-of-addresses";
    }
    absl::StrAppend(&text, verb, " element inet ", table, " ", map, " { ", key, " : ", pod.to_string(), " . ",
                    port.pod_port, " }\n");
  }
  if (!ports.empty()) {
    std::string pod = ports.front().pod.to_string();
    absl::StrAppend(&text, verb, " element inet ", table, " pods-with-ports { ", pod, " . ", pod, " }\n");
  }
  return text;
}

void append_set(std::string& text, const std::string& table, std::string_view set, std::vector<std::string> elements) {
  const std::string name(set);
  absl::StrAppend(&text, "flush set inet ", table, " ", name, "\n");
  if (elements.empty()) return;
  absl::StrAppend(&text, "add element inet ", table, " ", name, " { ", absl::StrJoin(elements, ", "), " }\n");
}

// The sets as a whole. Of ranges within each other the widest one is in the set.
std::string sets_of(const std::string& table, const Cidr& pods, const TableNodes& nodes) {
  std::vector<Cidr> ranges{pods};
  std::ranges::copy_if(nodes.ranges, std::back_inserter(ranges),
                       [&pods](const Cidr& each) { return each.family() == pods.family(); });
  std::ranges::sort(ranges);  // a wider one comes before those in it
  std::vector<std::string> elements;
  const Cidr* last = nullptr;
  for (const Cidr& range : ranges) {
    if (last != nullptr && last->contains(range)) continue;
    last = &range;
    elements.push_back(range.to_string());
  }
  std::string text;
  append_set(text, table, "ranges", std::move(elements));
  std::vector<std::string> of_v4, of_v6;
  for (const IpAddress& node : nodes.overlay_nodes.value_or(std::vector<IpAddress>())) {
    (node.is_v4() ? of_v4 : of_v6).push_back(node.to_string());
  }
  append_set(text, table, "overlay-nodes", std::move(of_v4));
  append_set(text, table, "overlay-nodes6", std::move(of_v6));
  append_set(text, table, "overlay-ports",
             nodes.overlay_nodes ? std::vector<std::string>{absl::StrCat(kVxlanPort)} : std::vector<std::string>{});
  return text;
}

// libnftables ends each complaint with the line that it means; the first line says what is wrong.
std::string first_line(const char* text) {
  std::string line = text == nullptr ? "" : text;
  return line.substr(0, line.find('\n'));
}

}  // namespace

NftTable::NftTable(const std::string& instance)
    : name_(nft_table_name("gantry", instance)), comment_(nft_mark(instance)), marks_(instance) {}

Status NftTable::run(const std::string& commands) {
  std::unique_ptr<nft_ctx, decltype(&::nft_ctx_free)> context(::nft_ctx_new(NFT_CTX_DEFAULT), &::nft_ctx_free);
  if (!context || ::nft_ctx_buffer_error(context.get()) != 0 || ::nft_ctx_buffer_output(context.get()) != 0) {
    return fail(Code::kResourceExhausted, absl::StrCat("nftables table inet ", name_, ": libnftables did not start"));
  }
  if (::nft_run_cmd_from_buffer(context.get(), commands.c_str()) != 0) {
    return fail(Code::kInternal, absl::StrCat("nftables table inet ", name_, ": ",
                                              first_line(::nft_ctx_get_error_buffer(context.get()))));
  }
  return {};
}

Status NftTable::ensure(const Cidr& pods, const TableNodes& nodes, std::span<const PortTarget> ports) {
  if (auto there = has_own_nft_table(name_, comment_); !there) return std::unexpected(std::move(there.error()));
  std::string elements = sets_of(name_, pods, nodes);
  for (const PortTarget& port : ports) elements += elements_of(name_, "add", {&port, 1});
  const bool is_v4 = pods.family() == Family::kV4;
  return run(absl::StrReplaceAll(kRules, {{"NAME", name_},
                                          {"COMMENT", comment_},
                                          {"GROUP", absl::StrCat(marks_.group())},
                                          {"OVERLAY", absl::StrCat(marks_.overlay_group())},
                                          {"FAMILY_TYPE", is_v4 ? "ipv4_addr" : "ipv6_addr"},
                                          {"FAMILY", is_v4 ? "ip" : "ip6"},
                                          {"PODS", pods.to_string()}}) +
             elements);
}

Status NftTable::set_nodes(const Cidr& pods, const TableNodes& nodes) { return run(sets_of(name_, pods, nodes)); }

Status NftTable::add_ports(std::span<const PortTarget> ports) { return run(elements_of(name_, "add", ports)); }

// Added first, in the same transaction: one that is not there is an error to delete.
Status NftTable::remove_ports(std::span<const PortTarget> ports) {
  auto there = has_own_nft_table(name_, comment_);
  if (!there) return std::unexpected(std::move(there.error()));
  if (!*there) return {};
  return run(elements_of(name_, "add", ports) + elements_of(name_, "delete", ports));
}

Status NftTable::remove() {
  auto there = has_own_nft_table(name_, comment_);
  if (!there) return std::unexpected(std::move(there.error()));
  if (!*there) return {};
  return run(absl::StrCat("delete table inet ", name_, "\n"));
}

}  // namespace gantry::netns
