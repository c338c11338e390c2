// SPDX-License-Identifier: Apache-2.0
// From the API's objects to what a zone is told, and from the node's resolv.conf to the servers that it names. Pure.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/dns/feed.h"
#include "proxy/dns/zone.h"

namespace k8s::io::api::core::v1 {
class Service;
}
namespace k8s::io::api::discovery::v1 {
class EndpointSlice;
}

namespace gantry::dns {

using Slices = std::vector<std::shared_ptr<const k8s::io::api::discovery::v1::EndpointSlice>>;

// Nothing: it has no name in DNS (yet).
std::optional<ServiceRecord> make_record(const k8s::io::api::core::v1::Service& service, const Slices& slices);
// True when somebody else serves it: it has an endpoint.
bool has_endpoints(const Slices& slices);
// The addresses at which a service is reached; none of one that is headless or has none yet.
std::vector<IpAddress> cluster_addresses(const k8s::io::api::core::v1::Service& service);

// The servers of a resolv.conf, but for our own addresses; at most eight of them.
std::vector<Resolvers::Server> servers_of(std::string_view resolv_conf, const std::vector<IpAddress>& own);

}  // namespace gantry::dns
