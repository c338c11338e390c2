// SPDX-License-Identifier: Apache-2.0
// ServiceRule: what a node does with packets to one port of a Service, in one family of addresses. The desired state of
// the proxy is a map of these by name; a backend (backend.h) makes the kernel match it. Plain data.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "netns/address.h"
#include "netns/host_port.h"

namespace gantry::proxy {

// Where packets end up: a port of a pod, or of a host.
struct EndpointAddress {
  netns::IpAddress address;
  std::uint16_t port = 0;
  auto operator<=>(const EndpointAddress&) const = default;
};

// What becomes of a new connection.
enum class Answer : std::uint8_t {
  kServe,
  kReject,  // at once: the service has no endpoints anywhere
  kDrop,    // silently: it has some, but not on this node, and its policy wants those
};

// Which endpoints of a rule take it.
enum class EndpointPool : std::uint8_t { kCluster, kLocal };

struct Path {
  EndpointPool pool = EndpointPool::kCluster;
  Answer answer = Answer::kServe;
  bool operator==(const Path&) const = default;
};

// An address and port by which the service is reached.
struct Frontend {
  // When two services claim the same address and port, the lower origin has it.
  enum class Origin : std::uint8_t { kClusterAddress, kNodePort, kLoadBalancer, kExternalAddress };
  Origin origin = Origin::kClusterAddress;
  netns::IpAddress address;
  std::uint16_t port = 0;
  Path inside;   // from this node and its pods
  Path outside;  // from elsewhere
  bool operator==(const Frontend&) const = default;
};

struct ServiceRule {
  netns::Protocol protocol = netns::Protocol::kTcp;
  netns::Family family = netns::Family::kV4;
  std::vector<Frontend> frontends;
  // Each sorted, nothing twice.
  std::vector<EndpointAddress> cluster, local;
  // Of `cluster` and `local`, those pods that run here: who may come back to himself.
  std::vector<netns::IpAddress> here;
  // UDP: all that serve, also those that take nobody new. Flows that are there may stay with them.
  std::vector<EndpointAddress> serving;
  // For how long a client stays with its endpoint; 0: not at all.
  std::uint32_t affinity_seconds = 0;
  // Who may use load balancers' addresses, besides the node itself; empty: everybody. None is within another.
  std::vector<netns::Cidr> source_ranges;

  const std::vector<EndpointAddress>& endpoints(EndpointPool pool) const {
    return pool == EndpointPool::kCluster ? cluster : local;
  }
  bool operator==(const ServiceRule&) const = default;
};

// By "namespace/name:port/family".
using ServiceRules = std::map<std::string, ServiceRule>;

}  // namespace gantry::proxy
