// SPDX-License-Identifier: Apache-2.0
#include "proxy/dns/records.h"

#include <algorithm>
#include <sstream>

#include "base/text.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/discovery/v1/endpoint_slice.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::dns {
namespace {

namespace core = k8s::io::api::core::v1;

constexpr std::size_t kMaxServers = 8;
// Of one service; what is beyond has no name. With endpoints of 89 bytes and ports of 77 a record is below 7 MiB, and
// the feed takes 8.
constexpr std::size_t kMaxEndpoints = 50'000;
constexpr std::size_t kMaxPorts = 25'000;  // with those of its slices

// "None" and "" are none.
std::optional<IpAddress> address_of(const std::string& text) {
  auto address = IpAddress::parse(text);
  return address ? std::optional(*address) : std::nullopt;
}

}  // namespace

std::vector<IpAddress> cluster_addresses(const core::Service& service) {
  std::vector<IpAddress> addresses;
  if (service.spec().type() == "ExternalName") return addresses;
  for (const std::string& text : service.spec().cluster_ips()) {
    if (auto address = address_of(text)) addresses.push_back(*address);
  }
  if (addresses.empty()) {
    if (auto address = address_of(service.spec().cluster_ip())) addresses.push_back(*address);
  }
  return addresses;
}

bool has_endpoints(const Slices& slices) {
  return std::ranges::any_of(slices, [](const auto& slice) { return slice->endpoints_size() > 0; });
}

std::optional<ServiceRecord> make_record(const core::Service& service, const Slices& slices) {
  ServiceRecord record;
  record.ns = service.metadata().namespace_();
  record.name = service.metadata().name();
  const auto& spec = service.spec();
  if (spec.type() == "ExternalName") {
    record.kind = ServiceRecord::Kind::kExternal;
    record.external_name = spec.external_name();
    return record;
  }
  record.addresses = cluster_addresses(service);
  if (record.addresses.empty()) {
    if (spec.cluster_ip() != "None") return std::nullopt;
    record.kind = ServiceRecord::Kind::kHeadless;
  }
  std::size_t room = kMaxPorts;
  auto add_port = [&room](std::vector<ServicePort>& ports, const auto& port) {
    if (room == 0) return;
    --room;
    ports.push_back({port.name(), port.has_protocol() ? lowered(port.protocol()) : "tcp",
                     static_cast<std::uint16_t>(port.port())});
  };
  for (const core::ServicePort& port : spec.ports()) add_port(record.ports, port);
  for (const auto& slice : slices) {
    if (slice->address_type() == "FQDN" || record.endpoint_ports.size() > 0xfffe) continue;
    std::vector<ServicePort> ports;
    for (const auto& port : slice->ports()) add_port(ports, port);
    const auto index = static_cast<std::uint16_t>(record.endpoint_ports.size());
    record.endpoint_ports.push_back(std::move(ports));
    for (const auto& endpoint : slice->endpoints()) {
      // Not said is ready; of publishNotReadyAddresses the slices say that all are.
      if (endpoint.conditions().has_ready() && !endpoint.conditions().ready()) continue;
      for (const std::string& text : endpoint.addresses()) {
        auto address = address_of(text);
        if (address && record.endpoints.size() < kMaxEndpoints) {
          record.endpoints.push_back({*address, endpoint.hostname(), index});
        }
      }
    }
  }
  return record;
}

std::vector<Resolvers::Server> servers_of(std::string_view resolv_conf, const std::vector<IpAddress>& own) {
  std::vector<Resolvers::Server> servers;
  std::istringstream lines{std::string(resolv_conf)};
  for (std::string line; std::getline(lines, line) && servers.size() < kMaxServers;) {
    std::istringstream words(line);
    std::string key, value;
    words >> key >> value;
    if (key != "nameserver") continue;
    auto address = address_of(value);
    if (!address || std::ranges::find(own, *address) != own.end()) continue;
    if (std::ranges::find(servers, Resolvers::Server{*address}) == servers.end()) servers.push_back({*address});
  }
  return servers;
}

}  // namespace gantry::dns
