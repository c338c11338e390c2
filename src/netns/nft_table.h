// SPDX-License-Identifier: Apache-2.0
// The nftables table of the built-in network: who may send what, masquerade, and ports of the host that lead to pods.
// One table of family inet for an instance, replaced as a whole in one transaction; it is ours when its comment says
// so. Inside this folder only. Blocking.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "netns/address.h"
#include "netns/host_port.h"

namespace gantry::netns {

// A port of the host, and the pod that it leads to.
struct PortTarget {
  HostPort port;
  IpAddress pod;
};

class NftTable {
 public:
  explicit NftTable(const std::string& instance);

  // Makes the table, or replaces what is in it. `group` is the link group of the pods' host ends. What `pods` send to
  // `cluster` keeps its source address. `ports` are all there are.
  Status ensure(const Cidr& pods, const Cidr& cluster, std::uint32_t group, std::span<const PortTarget> ports);
  // Ports of one pod, all or none; those that are there already are fine, and so are those that are not.
  Status add_ports(std::span<const PortTarget> ports);
  Status remove_ports(std::span<const PortTarget> ports);
  // Gone already is fine.
  Status remove();
  const std::string& name() const { return name_; }

 private:
  Status run(const std::string& commands);

  std::string name_, comment_;
};

}  // namespace gantry::netns
