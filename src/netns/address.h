// SPDX-License-Identifier: Apache-2.0
// IP addresses and address ranges as values, both families. Plain data: copy, compare, hash, send to another thread.
// Text is what inet_pton(3) and inet_ntop(3) say: "10.88.0.5", "fd00::5"; no zones, no ports, no leading zeros.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::netns {

enum class Family : std::uint8_t { kV4 = 4, kV6 = 6 };

// An address. One that was not parsed or computed is 0.0.0.0.
class IpAddress {
 public:
  IpAddress() = default;
  static Result<IpAddress> parse(std::string_view text);
  // From the bytes of a packet or a netlink attribute: 4 or 16 of them, in network order; any other count is invalid.
  static Result<IpAddress> from_bytes(std::span<const std::uint8_t> bytes);

  Family family() const { return family_; }
  bool is_v4() const { return family_ == Family::kV4; }
  // AF_INET or AF_INET6.
  int address_family() const;
  // 32 or 128.
  unsigned bits() const { return is_v4() ? 32 : 128; }
  // Network order; 4 or 16 bytes.
  std::span<const std::uint8_t> bytes() const { return {bytes_.data(), is_v4() ? std::size_t{4} : std::size_t{16}}; }
  std::string to_string() const;

  // The address `offset` further on; nothing when that is past the family's last one.
  std::optional<IpAddress> plus(std::uint64_t offset) const;
  // The address with all bits after the first `prefix` zero. Precondition: prefix <= bits().
  IpAddress masked(unsigned prefix) const;
  // How far this is after `base`; nothing when it is before it, of the other family, or further than 2^64 - 1.
  std::optional<std::uint64_t> offset_from(const IpAddress& base) const;

  auto operator<=>(const IpAddress&) const = default;

 private:
  Family family_ = Family::kV4;
  std::array<std::uint8_t, 16> bytes_{};  // beyond bytes() always zero, so that comparing is bytewise
};

// A range: a network address and the length of its prefix.
class Cidr {
 public:
  // 0.0.0.0/0.
  Cidr() = default;
  // "10.88.0.0/16". Bits set after the prefix ("10.88.0.1/16") are an error that names the range meant: a range that
  // comes from configuration is either exact or a mistake.
  static Result<Cidr> parse(std::string_view text);
  // The range of `prefix` bits that `address` is in. Invalid when prefix > address.bits().
  static Result<Cidr> of(const IpAddress& address, unsigned prefix);

  const IpAddress& network() const { return network_; }
  unsigned prefix() const { return prefix_; }
  Family family() const { return network_.family(); }
  // Addresses of the other family are in no range of this one.
  bool contains(const IpAddress& address) const;
  bool contains(const Cidr& range) const { return range.prefix_ >= prefix_ && contains(range.network_); }
  // How many addresses it has, all counted; 2^64 - 1 stands for that many or more.
  std::uint64_t size() const;
  // IPv4's last address; nothing for IPv6, and for prefixes over 30, which have no broadcast.
  std::optional<IpAddress> broadcast() const;
  std::string to_string() const;

  auto operator<=>(const Cidr&) const = default;

 private:
  IpAddress network_;
  unsigned prefix_ = 0;
};

}  // namespace gantry::netns

template <>
struct std::hash<gantry::netns::IpAddress> {
  std::size_t operator()(const gantry::netns::IpAddress& address) const noexcept {
    auto bytes = address.bytes();
    return std::hash<std::string_view>{}({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
};
