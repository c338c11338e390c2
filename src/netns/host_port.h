// SPDX-License-Identifier: Apache-2.0
// A port of the host that leads to a port of a pod.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "netns/address.h"

namespace gantry::netns {

enum class Protocol : std::uint8_t { kTcp, kUdp, kSctp };
std::string to_string(Protocol protocol);  // "tcp"

struct HostPort {
  Protocol protocol = Protocol::kTcp;
  std::optional<IpAddress> host_address;  // of the host's addresses this one alone; without it all of them
  std::uint16_t host_port = 0;            // 1 to 65535, as pod_port
  std::uint16_t pod_port = 0;

  // "tcp port 80 of 192.0.2.1", "udp port 53 of all addresses"
  std::string name() const;
  bool takes_place_of(const HostPort& other) const {
    return protocol == other.protocol && host_address == other.host_address && host_port == other.host_port;
  }
  bool operator==(const HostPort&) const = default;
};

}  // namespace gantry::netns
