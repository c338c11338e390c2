// SPDX-License-Identifier: Apache-2.0
// The endpoints of one port of a Service: merged from all its EndpointSlices, and chosen from. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/service_rule.h"

namespace k8s::io::api::discovery::v1 {
class EndpointSlice;
}

namespace gantry::proxy {

using EndpointSlice = k8s::io::api::discovery::v1::EndpointSlice;
using SlicePtr = std::shared_ptr<const EndpointSlice>;

struct Endpoint {
  bool ready = false, serving = false, terminating = false;
  bool local = false;  // on this node
  // Whom it is meant for; empty: no hint.
  std::vector<std::string> zones, nodes;
};

// By address and port: what several slices have is one endpoint.
using Endpoints = std::map<EndpointAddress, Endpoint>;

// Where the node is, for what depends on it.
struct Place {
  std::string node, zone;
};

// A port of a service as slices know it.
struct SlicePort {
  std::string_view name;
  netns::Protocol protocol = netns::Protocol::kTcp;
  netns::Family family = netns::Family::kV4;
};

// Addresses that are nobody's pod are left out, and named in `refused`: loopback, link-local, multicast, unspecified
// (CVE-2021-25737). Slices of other families and FQDNs are left out.
Endpoints merge_endpoints(std::span<const SlicePtr> slices, const SlicePort& port, const Place& place,
                          std::vector<std::string>* refused);

// Those that take connections from anywhere: the ready ones, of them those that hints mean for this node, else for its
// zone, if every ready one has such hints and one is meant; if none is ready, those that serve while they terminate.
std::vector<EndpointAddress> choose_cluster(const Endpoints& endpoints, const Place& place);
// The same of this node, where hints count for nothing.
std::vector<EndpointAddress> choose_local(const Endpoints& endpoints);

// Whether an endpoint may have this address at all.
bool is_servable(const netns::IpAddress& address);

}  // namespace gantry::proxy
