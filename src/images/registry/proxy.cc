// SPDX-License-Identifier: Apache-2.0
#include "images/registry/proxy.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "images/text.h"

namespace gantry::images {
namespace {

std::string variable(const char* upper, const char* lower) {
  for (const char* name : {upper, lower}) {
    if (const char* value = ::getenv(name); value != nullptr && *value != '\0') return value;
  }
  return "";
}

// Go has the proxy look names up, by socks5, too.
std::string for_libcurl(std::string proxy) {
  constexpr std::string_view kSocks = "socks5://";
  return proxy.starts_with(kSocks) ? cat("socks5h://", proxy.substr(kSocks.size())) : proxy;
}

// 4 or 16 bytes; an IPv4 address that is mapped into IPv6 is IPv4.
std::optional<std::string> address_of(std::string_view text) {
  const std::string plain(text);
  in_addr four{};
  if (::inet_pton(AF_INET, plain.c_str(), &four) == 1) return std::string(reinterpret_cast<const char*>(&four), 4);
  in6_addr six{};
  if (::inet_pton(AF_INET6, plain.c_str(), &six) != 1) return std::nullopt;
  std::string bytes(reinterpret_cast<const char*>(&six), 16);
  return IN6_IS_ADDR_V4MAPPED(&six) ? bytes.substr(12) : bytes;
}

bool equal_bits(const std::string& a, const std::string& b, unsigned bits) {
  const std::size_t whole = bits / 8;
  if (a.size() != b.size() || std::memcmp(a.data(), b.data(), whole) != 0) return false;
  const unsigned rest = bits % 8;
  return rest == 0 ||
         ((static_cast<unsigned char>(a[whole]) ^ static_cast<unsigned char>(b[whole])) >> (8 - rest)) == 0;
}

}  // namespace

ProxyRules::ProxyRules(std::string http, std::string https, std::string_view direct)
    : http_(for_libcurl(std::move(http))), https_(for_libcurl(std::move(https))) {
  while (!direct.empty()) {
    const std::size_t comma = std::min(direct.find(','), direct.size());
    const std::string entry = lowered(trimmed(direct.substr(0, comma)));
    direct.remove_prefix(std::min(comma + 1, direct.size()));
    all_direct_ |= entry == "*";
    if (Direct parsed = parse(entry); !parsed.name.empty() || !parsed.address.empty())
      direct_.push_back(std::move(parsed));
  }
}

ProxyRules ProxyRules::from_environment() {
  return {variable("HTTP_PROXY", "http_proxy"), variable("HTTPS_PROXY", "https_proxy"),
          variable("NO_PROXY", "no_proxy")};
}

// What makes no sense matches nothing, as in Go.
ProxyRules::Direct ProxyRules::parse(std::string_view entry) {
  Direct out;
  if (const std::size_t slash = entry.find('/'); slash != std::string_view::npos) {
    auto address = address_of(entry.substr(0, slash));
    const std::string_view bits = entry.substr(slash + 1);
    auto [end, error] = std::from_chars(bits.data(), bits.data() + bits.size(), out.bits);
    const bool is_number = error == std::errc() && end == bits.data() + bits.size();
    if (address && is_number && out.bits <= address->size() * 8) out.address = std::move(*address);
    return out;
  }
  // A port, but not the end of an IPv6 address.
  const std::size_t colon = entry.rfind(':');
  if (colon != std::string_view::npos && (entry.find(':') == colon || entry.substr(0, colon).ends_with(']'))) {
    out.port = entry.substr(colon + 1);
    entry = entry.substr(0, colon);
  }
  if (entry.starts_with('[') && entry.ends_with(']')) entry = entry.substr(1, entry.size() - 2);
  if (auto address = address_of(entry)) {
    out.bits = static_cast<unsigned>(address->size() * 8);
    out.address = std::move(*address);
    return out;
  }
  if (entry.starts_with("*.")) entry.remove_prefix(1);
  if (entry.empty()) return out;
  out.itself = !entry.starts_with('.');
  out.name = out.itself ? cat(".", entry) : std::string(entry);
  return out;
}

bool ProxyRules::is_direct(const Origin& origin) const {
  if (all_direct_ || origin.is_loopback()) return true;
  std::string_view host = origin.host;
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const auto address = address_of(host);
  return std::ranges::any_of(direct_, [&](const Direct& entry) {
    if (!entry.port.empty() && entry.port != origin.port) return false;
    if (!entry.address.empty()) return address && equal_bits(*address, entry.address, entry.bits);
    return host.ends_with(entry.name) || (entry.itself && host == std::string_view(entry.name).substr(1));
  });
}

std::string ProxyRules::proxy_for(const Origin& origin) const {
  const std::string& proxy = origin.scheme == "https" ? https_ : http_;
  return proxy.empty() || is_direct(origin) ? "" : proxy;
}

}  // namespace gantry::images
