// SPDX-License-Identifier: Apache-2.0
// The nftables table of the built-in network: who may send what, masquerade, which nodes VXLAN is taken from, and ports
// of the host that lead to pods.
// One table of family inet for an instance, replaced as a whole in one transaction; it is ours when its comment says
// so. Inside this folder only. Blocking.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "netns/address.h"
#include "netns/host_port.h"
#include "netns/links.h"

namespace gantry::netns {

// A port of the host, and the pod that it leads to.
struct PortTarget {
  HostPort port;
  IpAddress pod;
};

// What the table says of other nodes.
struct TableNodes {
  // What pods send to these keeps its source address: all ranges of pods, in any order, also within each other.
  std::vector<Cidr> ranges;
  // VXLAN is taken from these, and from nobody else; nothing: there is no overlay, and whose that port is is not said.
  std::optional<std::vector<IpAddress>> overlay_nodes;
};

class NftTable {
 public:
  explicit NftTable(const std::string& instance);

  // Makes the table, or replaces what is in it. `ports` are all there are.
  Status ensure(const Cidr& pods, const TableNodes& nodes, std::span<const PortTarget> ports);
  // In a table that is there, at once.
  Status set_nodes(const Cidr& pods, const TableNodes& nodes);
  // Ports of one pod, all or none; those that are there already are fine, and so are those that are not.
  Status add_ports(std::span<const PortTarget> ports);
  Status remove_ports(std::span<const PortTarget> ports);
  // Gone already is fine.
  Status remove();
  const std::string& name() const { return name_; }

 private:
  Status run(const std::string& commands);

  std::string name_, comment_;
  LinkMarks marks_;
};

}  // namespace gantry::netns
