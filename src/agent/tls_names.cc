// SPDX-License-Identifier: Apache-2.0
#include "agent/tls_names.h"

#include <algorithm>
#include <string_view>

#include "base/text.h"

namespace gantry::agent {

namespace {

struct Cipher {
  std::string_view go;
  std::string_view openssl;  // empty: not spoken here, or not chosen, as those of TLS 1.3
};

constexpr Cipher kCiphers[] = {
    {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"},
    {"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"},
    {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"},
    {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", "ECDHE-ECDSA-CHACHA20-POLY1305"},
    {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"},
    {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"},
    {"TLS_AES_128_GCM_SHA256", ""},
    {"TLS_AES_256_GCM_SHA384", ""},
    {"TLS_CHACHA20_POLY1305_SHA256", ""},
    {"TLS_RSA_WITH_RC4_128_SHA", ""},
    {"TLS_RSA_WITH_3DES_EDE_CBC_SHA", ""},
    {"TLS_RSA_WITH_AES_128_CBC_SHA", ""},
    {"TLS_RSA_WITH_AES_256_CBC_SHA", ""},
    {"TLS_RSA_WITH_AES_128_CBC_SHA256", ""},
    {"TLS_RSA_WITH_AES_128_GCM_SHA256", ""},
    {"TLS_RSA_WITH_AES_256_GCM_SHA384", ""},
    {"TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", ""},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", ""},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", ""},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", ""},
    {"TLS_ECDHE_RSA_WITH_RC4_128_SHA", ""},
    {"TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", ""},
    {"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", ""},
    {"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", ""},
    {"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", ""},
};

struct Group {
  std::int64_t go;
  std::string_view openssl;
};

// The best first.
constexpr Group kGroups[] = {{29, "X25519"}, {23, "P-256"}, {24, "P-384"}, {25, "P-521"}};

void add(std::string& list, std::string_view name) { list += cat(list.empty() ? "" : ":", name); }

}  // namespace

Status allow_ciphers(const std::vector<std::string>& names, http::TlsRules* rules) {
  std::string allowed;
  for (const auto& name : names) {
    const auto* known = std::ranges::find(kCiphers, name, &Cipher::go);
    if (known == std::end(kCiphers)) return invalid_argument(cat(quoted(name), " is no cipher suite that is known"));
    if (!known->openssl.empty()) add(allowed, known->openssl);
  }
  if (!names.empty() && allowed.empty()) rules->only_tls13 = true;
  rules->tls12_ciphers = std::move(allowed);
  return {};
}

Status allow_groups(const std::vector<std::int64_t>& numbers, http::TlsRules* rules) {
  std::string allowed;
  for (const Group& group : kGroups) {
    if (std::ranges::find(numbers, group.go) != numbers.end()) add(allowed, group.openssl);
  }
  if (!numbers.empty() && allowed.empty()) {
    return invalid_argument("none of them is spoken here: 23 (P-256), 24 (P-384), 25 (P-521) and 29 (X25519) are");
  }
  rules->groups = std::move(allowed);
  return {};
}

}  // namespace gantry::agent
