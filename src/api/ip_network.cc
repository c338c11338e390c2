// SPDX-License-Identifier: Apache-2.0
#include "api/ip_network.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace gantry::api {

namespace {

using Bits = unsigned __int128;

int width(const IpAddress& address) { return address.is_v6 ? 128 : 32; }

Bits mask(int width, int prefix) {
  const int host = width - prefix;
  if (host >= 128) return 0;
  const Bits all = width == 128 ? ~Bits{0} : (Bits{1} << width) - 1;
  return all & ~((Bits{1} << host) - 1);
}

}  // namespace

Result<IpAddress> parse_ip(std::string_view text) {
  const std::string copy(text.substr(0, INET6_ADDRSTRLEN));
  unsigned char bytes[16];
  const bool is_v6 = copy.find(':') != std::string::npos;
  if (copy.size() != text.size() || ::inet_pton(is_v6 ? AF_INET6 : AF_INET, copy.c_str(), bytes) != 1) {
    return invalid_argument(cat(quoted(text), " is no IP address"));
  }
  IpAddress address{.is_v6 = is_v6};
  for (int i = 0; i < (is_v6 ? 16 : 4); ++i) address.bits = address.bits << 8 | bytes[i];
  return address;
}

std::string to_string(const IpAddress& address) {
  unsigned char bytes[16];
  const int count = address.is_v6 ? 16 : 4;
  for (int i = 0; i < count; ++i) bytes[i] = static_cast<unsigned char>(address.bits >> (8 * (count - 1 - i)));
  char text[INET6_ADDRSTRLEN] = {};
  ::inet_ntop(address.is_v6 ? AF_INET6 : AF_INET, bytes, text, sizeof text);
  return text;
}

bool IpNetwork::contains(const IpAddress& address) const {
  return address.is_v6 == base.is_v6 && (address.bits & mask(width(base), prefix)) == base.bits;
}

Bits IpNetwork::size() const { return Bits{1} << std::min(64, width(base) - prefix); }

Result<IpNetwork> parse_network(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return invalid_argument(cat(quoted(text), " is no network: ADDRESS/PREFIX"));
  Result<IpAddress> base = parse_ip(text.substr(0, slash));
  if (!base) return std::unexpected(std::move(base.error()));
  IpNetwork network{.base = *base};
  const std::string_view length = text.substr(slash + 1);
  const auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), network.prefix);
  if (error != std::errc() || end != length.data() + length.size() || network.prefix < 0 ||
      network.prefix > width(*base)) {
    return invalid_argument(cat(quoted(text), " has no valid prefix length"));
  }
  if ((base->bits & mask(width(*base), network.prefix)) != base->bits) {
    return invalid_argument(cat(quoted(text), " has bits below its prefix"));
  }
  return network;
}

std::string to_string(const IpNetwork& network) { return cat(to_string(network.base), "/", network.prefix); }

}  // namespace gantry::api
