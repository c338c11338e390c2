// SPDX-License-Identifier: Apache-2.0
#include "netns/address.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace gantry::netns {
namespace {

constexpr std::size_t kMaxText = 64;  // longer than any address or range, and short enough to quote in an error

std::string quoted(std::string_view text) {
  return absl::StrCat("\"", absl::CEscape(std::string(text.substr(0, kMaxText))), "\"");
}

std::uint64_t load_big_endian(const std::uint8_t* bytes) {
  std::uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | bytes[i];
  return value;
}

}  // namespace

Result<IpAddress> IpAddress::parse(std::string_view text) {
  IpAddress address;
  std::string terminated(text.substr(0, kMaxText));
  if (text.size() < kMaxText && text.find('\0') == std::string_view::npos) {
    if (::inet_pton(AF_INET, terminated.c_str(), address.bytes_.data()) == 1) return address;
    if (::inet_pton(AF_INET6, terminated.c_str(), address.bytes_.data()) == 1) {
      address.family_ = Family::kV6;
      return address;
    }
  }
  return invalid_argument(absl::StrCat("address ", quoted(text), " is neither IPv4 (10.88.0.5) nor IPv6 (fd00::5)"));
}

Result<IpAddress> IpAddress::from_bytes(std::span<const std::uint8_t> bytes) {
  if (bytes.size() != 4 && bytes.size() != 16) {
    return invalid_argument(absl::StrCat("an address of ", bytes.size(), " bytes; IPv4 has 4, IPv6 16"));
  }
  IpAddress address;
  address.family_ = bytes.size() == 4 ? Family::kV4 : Family::kV6;
  std::ranges::copy(bytes, address.bytes_.begin());
  return address;
}

int IpAddress::address_family() const { return is_v4() ? AF_INET : AF_INET6; }

std::string IpAddress::to_string() const {
  char text[INET6_ADDRSTRLEN];
  return ::inet_ntop(address_family(), bytes_.data(), text, sizeof(text));
}

std::optional<IpAddress> IpAddress::plus(std::uint64_t offset) const {
  IpAddress sum = *this;
  std::uint64_t carry = offset;
  for (std::size_t i = bytes().size(); i-- > 0 && carry != 0;) {
    // The low byte of carry joins this byte; what overflows goes up with the rest of carry.
    std::uint64_t digit = bytes_[i] + (carry & 0xff);
    sum.bytes_[i] = static_cast<std::uint8_t>(digit);
    carry = (carry >> 8) + (digit >> 8);
  }
  if (carry != 0) return std::nullopt;
  return sum;
}

IpAddress IpAddress::masked(unsigned prefix) const {
  IpAddress result = *this;
  for (unsigned i = 0; i < bytes().size(); ++i) {
    unsigned kept = prefix > i * 8 ? std::min(prefix - i * 8, 8U) : 0;
    result.bytes_[i] &= static_cast<std::uint8_t>(0xff00U >> kept);
  }
  return result;
}

std::optional<std::uint64_t> IpAddress::offset_from(const IpAddress& base) const {
  if (family_ != base.family_ || *this < base) return std::nullopt;
  if (is_v4()) return (load_big_endian(bytes_.data()) - load_big_endian(base.bytes_.data())) >> 32;
  std::uint64_t high = load_big_endian(bytes_.data()) - load_big_endian(base.bytes_.data());
  std::uint64_t low = load_big_endian(bytes_.data() + 8);
  std::uint64_t base_low = load_big_endian(base.bytes_.data() + 8);
  if (high != (low < base_low ? 1U : 0U)) return std::nullopt;
  return low - base_low;
}

Result<Cidr> Cidr::parse(std::string_view text) {
  auto slash = text.find('/');
  if (slash == std::string_view::npos || text.size() >= kMaxText) {
    return invalid_argument(absl::StrCat("range ", quoted(text), " is not ADDRESS/PREFIX, such as 10.88.0.0/16"));
  }
  auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return fail_with(std::move(address.error()), absl::StrCat("range ", quoted(text)));
  std::string_view digits = text.substr(slash + 1);
  unsigned prefix = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), prefix);
  if (error != std::errc() || end != digits.data() + digits.size() || prefix > address->bits() ||
      (digits.size() > 1 && digits[0] == '0')) {
    return invalid_argument(
        absl::StrCat("range ", quoted(text), ": the prefix is a number from 0 to ", address->bits()));
  }
  Cidr range;
  range.network_ = address->masked(prefix);
  range.prefix_ = prefix;
  if (range.network_ != *address) {
    return invalid_argument(
        absl::StrCat("range ", quoted(text), " has bits set after its prefix; write ", range.to_string()));
  }
  return range;
}

Result<Cidr> Cidr::of(const IpAddress& address, unsigned prefix) {
  if (prefix > address.bits()) {
    return invalid_argument(
        absl::StrCat("prefix ", prefix, " for ", address.to_string(), ": it is a number from 0 to ", address.bits()));
  }
  Cidr range;
  range.network_ = address.masked(prefix);
  range.prefix_ = prefix;
  return range;
}

bool Cidr::contains(const IpAddress& address) const {
  return address.family() == family() && address.masked(prefix_) == network_;
}

std::uint64_t Cidr::size() const {
  unsigned host_bits = network_.bits() - prefix_;
  return host_bits >= 64 ? ~std::uint64_t{0} : std::uint64_t{1} << host_bits;
}

std::optional<IpAddress> Cidr::broadcast() const {
  if (!network_.is_v4() || prefix_ > 30) return std::nullopt;
  return network_.plus(size() - 1);
}

std::string Cidr::to_string() const { return absl::StrCat(network_.to_string(), "/", prefix_); }

}  // namespace gantry::netns
