// SPDX-License-Identifier: Apache-2.0
#include "proxy/endpoints.h"

#include <algorithm>

#include "kubernetes/discovery/v1/endpoint_slice.pb.h"
#include "proxy/service_rules.h"

namespace gantry::proxy {
namespace {

// A slice of an own proxy's is not ours.
constexpr const char* kProxyNameLabel = "service.kubernetes.io/service-proxy-name";

template <typename Wanted>
bool has(const std::vector<std::string>& names, const Wanted& wanted) {
  return std::ranges::find(names, wanted) != names.end();
}

void add(Endpoints* all, const EndpointAddress& where, Endpoint endpoint) {
  auto [it, is_new] = all->try_emplace(where, endpoint);
  if (is_new) return;
  // Two slices may tell different moments of one endpoint while it moves from one to the other: the better one counts.
  it->second.ready |= endpoint.ready;
  it->second.serving |= endpoint.serving;
  it->second.terminating &= endpoint.terminating;
  it->second.local |= endpoint.local;
  if (it->second.zones.empty()) it->second.zones = std::move(endpoint.zones);
  if (it->second.nodes.empty()) it->second.nodes = std::move(endpoint.nodes);
}

Endpoint read_endpoint(const k8s::io::api::discovery::v1::Endpoint& from, const Place& place) {
  const auto& conditions = from.conditions();
  Endpoint endpoint;
  endpoint.ready = !conditions.has_ready() || conditions.ready();
  endpoint.serving = conditions.has_serving() ? conditions.serving() : endpoint.ready;
  endpoint.terminating = conditions.terminating();
  endpoint.local = !place.node.empty() && from.node_name() == place.node;
  for (const auto& zone : from.hints().for_zones()) endpoint.zones.push_back(zone.name());
  for (const auto& node : from.hints().for_nodes()) endpoint.nodes.push_back(node.name());
  return endpoint;
}

// Whether hints of this kind are to be followed.
bool hints_count(const Endpoints& endpoints, std::vector<std::string> Endpoint::* hints, const std::string& wanted) {
  bool meant = false;
  for (const auto& [where, endpoint] : endpoints) {
    if (!endpoint.ready) continue;
    if ((endpoint.*hints).empty()) return false;
    meant |= has(endpoint.*hints, wanted);
  }
  return meant && !wanted.empty();
}

std::vector<EndpointAddress> addresses_of(const Endpoints& endpoints, const auto& wanted) {
  std::vector<EndpointAddress> out;
  for (const auto& [where, endpoint] : endpoints) {
    if (wanted(endpoint)) out.push_back(where);
  }
  return out;
}

}  // namespace

bool is_servable(const netns::IpAddress& address) {
  auto bytes = address.bytes();
  if (std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; })) return false;
  if (address.is_v4()) {
    bool link_local = bytes[0] == 169 && bytes[1] == 254;
    return bytes[0] != 127 && bytes[0] != 0 && bytes[0] < 224 && !link_local;
  }
  bool loopback = bytes[15] == 1 && std::ranges::all_of(bytes.first(15), [](std::uint8_t byte) { return byte == 0; });
  bool link_local = bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
  // ::ffff:127.0.0.1 is 127.0.0.1 by another name.
  bool mapped = std::ranges::all_of(bytes.first(10), [](std::uint8_t byte) { return byte == 0; }) &&
                bytes[10] == 0xff && bytes[11] == 0xff;
  return !loopback && !link_local && !mapped && bytes[0] != 0xff;
}

Endpoints merge_endpoints(std::span<const SlicePtr> slices, const SlicePort& port, const Place& place,
                          std::vector<std::string>* refused) {
  Endpoints all;
  const char* type = port.family == netns::Family::kV4 ? "IPv4" : "IPv6";
  for (const SlicePtr& slice : slices) {
    if (slice->address_type() != type || slice->metadata().labels().contains(kProxyNameLabel)) continue;
    for (const auto& slice_port : slice->ports()) {
      if (slice_port.name() != port.name || read_protocol(slice_port.protocol()) != port.protocol) continue;
      if (slice_port.port() < 1 || slice_port.port() > 65535) continue;
      for (const auto& from : slice->endpoints()) {
        // More than one address an endpoint has no meaning in the API.
        if (from.addresses().empty()) continue;
        auto address = netns::IpAddress::parse(from.addresses(0));
        if (!address || address->family() != port.family || !is_servable(*address)) {
          refused->push_back(from.addresses(0));
          continue;
        }
        add(&all, {*address, static_cast<std::uint16_t>(slice_port.port())}, read_endpoint(from, place));
      }
    }
  }
  return all;
}

std::vector<EndpointAddress> choose_cluster(const Endpoints& endpoints, const Place& place) {
  bool by_node = hints_count(endpoints, &Endpoint::nodes, place.node);
  bool by_zone = !by_node && hints_count(endpoints, &Endpoint::zones, place.zone);
  auto ready = addresses_of(endpoints, [&](const Endpoint& endpoint) {
    return endpoint.ready && (!by_node || has(endpoint.nodes, place.node)) &&
           (!by_zone || has(endpoint.zones, place.zone));
  });
  if (!ready.empty()) return ready;
  return addresses_of(endpoints, [](const Endpoint& endpoint) { return endpoint.serving && endpoint.terminating; });
}

std::vector<EndpointAddress> choose_local(const Endpoints& endpoints) {
  auto ready = addresses_of(endpoints, [](const Endpoint& endpoint) { return endpoint.ready && endpoint.local; });
  if (!ready.empty()) return ready;
  return addresses_of(endpoints, [](const Endpoint& endpoint) {
    return endpoint.local && endpoint.serving && endpoint.terminating;
  });
}

}  // namespace gantry::proxy
