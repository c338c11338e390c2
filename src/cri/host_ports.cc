// SPDX-License-Identifier: Apache-2.0
#include "cri/host_ports.h"

#include "cri/runtime/v1/api.pb.h"
#include "cri/text.h"

namespace gantry::cri {
namespace {

namespace v1 = ::runtime::v1;

Result<std::uint16_t> port_number(std::int32_t number, std::string_view field) {
  if (number < 0 || number > 65535)
    return invalid_argument(cat("port_mappings.", field, " ", number, ": ports are 0 to 65535"));
  return static_cast<std::uint16_t>(number);
}

Result<netns::Protocol> protocol_of(v1::Protocol protocol) {
  switch (protocol) {
    case v1::TCP:
      return netns::Protocol::kTcp;
    case v1::UDP:
      return netns::Protocol::kUdp;
    case v1::SCTP:
      return netns::Protocol::kSctp;
    default:
      return invalid_argument(cat("port_mappings.protocol ", static_cast<int>(protocol), ": give TCP, UDP or SCTP"));
  }
}

Result<std::optional<netns::IpAddress>> host_address(const std::string& text) {
  if (text.empty()) return std::nullopt;
  auto address = netns::IpAddress::parse(text);
  if (!address)
    return invalid_argument(cat("port_mappings.host_ip ", quoted(text), ": give an address, or none for all"));
  if (text == "0.0.0.0") return std::nullopt;
  return *address;
}

}  // namespace

Result<std::vector<netns::HostPort>> host_ports(const v1::PodSandboxConfig& config) {
  std::vector<netns::HostPort> ports;
  bool is_mapped = config.linux().security_context().namespace_options().network() != v1::NODE;
  for (const auto& mapping : config.port_mappings()) {
    auto pod = port_number(mapping.container_port(), "container_port");
    auto host = port_number(mapping.host_port(), "host_port");
    auto protocol = protocol_of(mapping.protocol());
    if (!pod) return std::unexpected(std::move(pod.error()));
    if (!host) return std::unexpected(std::move(host.error()));
    if (!protocol) return std::unexpected(std::move(protocol.error()));
    if (*host == 0 || !is_mapped) continue;
    if (*pod == 0) return invalid_argument(cat("port_mappings.container_port 0: host_port ", *host, " leads to none"));
    auto address = host_address(mapping.host_ip());
    if (!address) return std::unexpected(std::move(address.error()));
    netns::HostPort port{*protocol, *address, *host, *pod};
    for (const auto& other : ports) {
      if (port.takes_place_of(other)) return invalid_argument(cat("port_mappings: ", port.name(), " is given twice"));
    }
    ports.push_back(port);
  }
  return ports;
}

}  // namespace gantry::cri
