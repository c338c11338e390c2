// SPDX-License-Identifier: Apache-2.0
// Addresses and networks as numbers, for who hands them out. Pure; any thread.
#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::api {

struct IpAddress {
  bool is_v6 = false;
  unsigned __int128 bits = 0;  // of IPv4 the lower 32

  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;
  IpAddress plus(unsigned __int128 offset) const { return {is_v6, bits + offset}; }
};

// Canonical text: no leading zeros, IPv6 as RFC 5952 writes it.
Result<IpAddress> parse_ip(std::string_view text);
std::string to_string(const IpAddress& address);

struct IpNetwork {
  IpAddress base;  // its lowest address
  int prefix = 0;

  bool contains(const IpAddress& address) const;
  bool overlaps(const IpNetwork& other) const { return contains(other.base) || other.contains(base); }
  // How many addresses it has, at most 2^64.
  unsigned __int128 size() const;
  friend bool operator==(const IpNetwork&, const IpNetwork&) = default;
};

// "10.96.0.0/12", "fd00::/108"; bits below the prefix must be zero.
Result<IpNetwork> parse_network(std::string_view text);
std::string to_string(const IpNetwork& network);

}  // namespace gantry::api
