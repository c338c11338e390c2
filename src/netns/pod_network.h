// SPDX-License-Identifier: Apache-2.0
// The built-in pod network of one node: a veth per pod, routed. The host's end answers as the gateway and has a /32
// route to the pod; there is no bridge and no layer 2 that two pods share. A pod sends from its own address only: the
// reverse-path filter is strict on each host end, and one rule of our nftables table says the same again, because what
// other programs set (net.ipv4.conf.all.rp_filter, udev's sysctls for new links) can loosen the filter but not the
// rule. Ports of the host lead to pods by the same table (map_ports()).
//
// Pods of other nodes are reached by routes to their nodes or by VXLAN (set_nodes()), and all pods know each other by
// their own addresses: what they send to other ranges than nodes' and the cluster's is masqueraded. While nobody says
// which nodes there are, what an earlier process made is left as it is.
//
// What is made bears the instance's mark, and nothing without it is touched:
//   links    alias "gantry:<instance>:<sandbox id>:<address>[,<address>]", a name and a link group made from the
//   instance; to other nodes alias "gantry:<instance>:overlay"
//   nftables table "inet gantry-<8 hex digits of the instance>" with the comment "gantry:<instance>"
//   routes   to other nodes' pods: protocol 103, and a metric made from the instance; others end with their link
// net.ipv4.ip_forward is set to 1 and stays so.
//
// Owner: gantryd. Threads: every call blocks, so make them on a Pool thread: attach for under a millisecond, detach for
// some 30 ms, for one pod as for many, in which the kernel waits for its own readers and nothing else here waits for
// it. Calls for different sandboxes may be made at the same time; those for one sandbox come one after the other. All
// works in the network namespace of the threads that call, which is one for all; pods' namespaces are reached through
// descriptors alone, never by setns. Linux 6.1, CAP_NET_ADMIN, /proc/sys writable.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "netns/address.h"
#include "netns/address_ledger.h"
#include "netns/peer_nodes.h"

namespace gantry::netns {

struct PodNetworkConfig {
  // IPv4 for now: /8 to /30. Nothing: set_range() says it, and until then there are no addresses.
  std::optional<Cidr> pod_cidr;
  // Where the pods of all nodes are: contains those of this one. Nothing: in the ranges of the nodes that are known.
  std::optional<Cidr> cluster_cidr;
  // The address that pods have as their gateway. Default, and with a range of set_range(): the first host of it.
  std::optional<IpAddress> gateway;
  // 1280 to 65535; 0 takes that of the default route's link as open() finds it, or 1500 when there is no default route.
  std::uint32_t mtu = 0;
  // The node's instance id: 1 to 48 of [A-Za-z0-9_.-].
  std::string instance;
};

struct PodInterface {
  // One for each family of the network; today one IPv4 address.
  std::vector<IpAddress> addresses;
  // The host's end. The pod's is "eth0".
  std::string host_ifname;
  std::uint32_t mtu = 0;
};

// A link of ours, as the kernel has it.
struct PodLink {
  std::string sandbox_id;
  std::string host_ifname;
  std::vector<IpAddress> addresses;
  std::uint32_t mtu = 0;
  // attach() came to its end for it. False: the process was killed in the middle; attach() again makes it anew.
  bool complete = false;
};

class PodNetwork {
 public:
  // Reads the ledger and the links that live, so that no address in use is given out, whichever of the two knows it.
  // Makes nothing. `ledger` outlives the network. Invalid when the configuration is; a ledger that can't be read is its
  // error.
  static Result<std::unique_ptr<PodNetwork>> open(PodNetworkConfig config, AddressLedger& ledger);
  ~PodNetwork();
  PodNetwork(const PodNetwork&) = delete;
  PodNetwork& operator=(const PodNetwork&) = delete;

  // Forwarding, set when it is off, and the nftables table, replaced as a whole in one transaction, so that traffic
  // never meets half of it. Before the first attach; any number of times. kFailedPrecondition when a table of the name
  // bears another mark. Without a range the table stays as it is, for pods that live.
  Status prepare_node();
  // From now on addresses are of this range, which is recorded, and the table follows. kFailedPrecondition while
  // anybody has an address that it can't have given; then, as after any error, all is as it was. The range that there
  // is: fine.
  Status set_range(const Cidr& range);
  // Which other nodes there are: makes the routes to their pods, and removes those to others. `nodes` are screened
  // (peer_nodes.h); answered are those of them that can't be reached, and why. New pods' packets are as large as the
  // way to every node takes. To be said again when routes or addresses of the host have changed; set_range() does by
  // itself.
  Result<std::vector<RefusedNode>> set_nodes(RouteMode mode, OwnNode own, std::vector<PeerNode> nodes);
  // Removes the table, if it bears our mark, and the way to other nodes; gone already is fine. Pods' links are
  // detach()'s.
  Status release_node();

  // Wires a pod: `netns` is its network namespace, `route_socket` an open NETLINK_ROUTE socket that a process inside it
  // made (borrowed for the call; nobody else reads it meanwhile). Sandbox ids are 1 to 128 of [A-Za-z0-9_.-]. The
  // address is `wanted`, or the one that the ledger has for this sandbox, or a free one; it is recorded before it is
  // used. A link that a crash left for this sandbox is replaced. On failure nothing stays: no link, no address.
  // kUnavailable without a range; kResourceExhausted when no address is free; kAlreadyExists when `wanted` is another
  // sandbox's, or the namespace has an eth0 that is not ours.
  Result<PodInterface> attach(std::string_view sandbox_id, FdRef netns, FdRef route_socket,
                              std::optional<IpAddress> wanted = {});
  // Leads ports of the host to the sandbox, which is attached: from other hosts, from pods and from the host itself, by
  // 127.0.0.1 too, but by that address from nowhere else. All or none. Who comes from 127.0.0.1, and a pod that comes
  // to itself, is seen with the gateway's address. kAlreadyExists when another sandbox has one of them; invalid when
  // two are the same, or for an address that is not IPv4's.
  Status map_ports(std::string_view sandbox_id, const std::vector<HostPort>& ports);
  // Removes the ports that lead to the pod: detach()'s first step, for who has the rest done later.
  Status close_ports(std::string_view sandbox_id);
  // Of each pod: removes the ports that lead to it, then its link, and with it both ends' addresses and routes; then
  // frees its addresses. Gone already is fine. The error is the first one's, and the others are detached all the same.
  Status detach(std::span<const std::string> sandbox_ids);
  Status detach(const std::string& sandbox_id) { return detach(std::span(&sandbox_id, 1)); }

  // Our links, by their alias: what is alive. In no order.
  Result<std::vector<PodLink>> list();
  // The ledger's view: who has which address. With list() and the store's sandboxes recovery is a diff: detach() who
  // should not be, whether link, record or both are left.
  std::vector<HeldAddress> held() const;

  std::optional<Cidr> range() const;
  // Precondition: there is a range.
  IpAddress gateway() const;
  // The address by which the node is known: the one that it speaks from along its default route (IPv4's first), or
  // gateway(), where at least its own pods reach it, as long as there is no such route; kFailedPrecondition without
  // both. Asks the kernel each time.
  Result<IpAddress> node_address() const;
  // Of pods that are attached now. Doesn't block.
  std::uint32_t mtu() const;

 private:
  struct Impl;
  explicit PodNetwork(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace gantry::netns
