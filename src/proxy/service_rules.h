// SPDX-License-Identifier: Apache-2.0
// From a Service and its EndpointSlices to what a node does with its packets. Pure.
//
// Nothing comes of headless services, of ExternalName, and of those that are another proxy's by their label
// service.kubernetes.io/service-proxy-name. Of a load balancer's addresses those count that are IPs and whose ipMode is
// VIP.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/endpoints.h"
#include "proxy/service_rule.h"

namespace k8s::io::api::core::v1 {
class Service;
}

namespace gantry::proxy {

using Service = k8s::io::api::core::v1::Service;

// What of the node the rules depend on.
struct NodeView {
  Place place;
  // On which node ports are served; never loopback.
  std::vector<netns::IpAddress> addresses;
  bool operator==(const NodeView& other) const {
    return place.node == other.place.node && place.zone == other.place.zone && addresses == other.addresses;
  }
};

// A port on which this node says how many endpoints of a service it has (healthCheckNodePort).
struct HealthCheck {
  std::uint16_t port = 0;
  std::size_t local_endpoints = 0;
  bool operator==(const HealthCheck&) const = default;
};

struct RulesOfService {
  ServiceRules rules;
  std::optional<HealthCheck> health_check;
  // What was left out, for people: addresses that no endpoint may have.
  std::vector<std::string> refused;
};

RulesOfService rules_of(const Service& service, std::span<const SlicePtr> slices, const NodeView& node);

// "" is TCP.
std::optional<netns::Protocol> read_protocol(std::string_view name);

}  // namespace gantry::proxy
