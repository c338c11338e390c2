// SPDX-License-Identifier: Apache-2.0
#include "control/authentication/bootstrap_token.h"

#include <algorithm>

#include "base/text.h"
#include "kubernetes/core/v1/config.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace {

constexpr size_t kIdSize = 6;
constexpr size_t kSecretSize = 16;
constexpr char kGroup[] = "system:bootstrappers";

bool is_lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

std::string_view field(const k8s::io::api::core::v1::Secret& secret, const char* key) {
  const auto found = secret.data().find(key);
  return found == secret.data().end() ? std::string_view() : std::string_view(found->second);
}

// In a time that tells nothing of where they differ.
bool equal_secret(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned char difference = 0;
  for (size_t i = 0; i < a.size(); ++i) difference |= static_cast<unsigned char>(a[i] ^ b[i]);
  return difference == 0;
}

// "system:bootstrappers:x": a token can't be made a member of other groups.
bool is_extra_group(std::string_view group) {
  const std::string prefix = cat(kGroup, ":");
  if (!group.starts_with(prefix)) return false;
  const std::string_view rest = group.substr(prefix.size());
  return !rest.empty() && rest.size() <= 256 && is_lower_alnum(rest.back()) &&
         std::ranges::all_of(rest, [](char c) { return is_lower_alnum(c) || c == ':' || c == '-'; });
}

}  // namespace

bool is_bootstrap_token(std::string_view token) {
  if (token.size() != kIdSize + 1 + kSecretSize || token[kIdSize] != '.') return false;
  return std::ranges::all_of(token.substr(0, kIdSize), is_lower_alnum) &&
         std::ranges::all_of(token.substr(kIdSize + 1), is_lower_alnum);
}

std::string bootstrap_secret_name(std::string_view token) { return cat("bootstrap-token-", token.substr(0, kIdSize)); }

Result<User> read_bootstrap_token(std::string_view token, const k8s::io::api::core::v1::Secret& secret,
                                  api::Timestamp now) {
  const auto refused = [](const char* why) { return fail(Code::kUnauthenticated, why); };
  if (secret.type() != kBootstrapSecretType || secret.metadata().has_deletion_timestamp()) {
    return refused("the bootstrap token's secret is no such secret");
  }
  if (field(secret, "token-id") != token.substr(0, kIdSize) ||
      !equal_secret(field(secret, "token-secret"), token.substr(kIdSize + 1))) {
    return refused("the bootstrap token is not the one that its secret has");
  }
  if (field(secret, "usage-bootstrap-authentication") != "true") {
    return refused("the bootstrap token is not for authentication");
  }
  if (const auto end = token_end(secret); end && *end <= now.seconds) return refused("the bootstrap token has expired");
  User user{.name = cat("system:bootstrap:", token.substr(0, kIdSize)), .groups = {kGroup}};
  std::string_view groups = field(secret, "auth-extra-groups");
  while (!groups.empty()) {
    const size_t comma = std::min(groups.find(','), groups.size());
    const std::string_view group = trimmed(groups.substr(0, comma));
    if (!group.empty() && !is_extra_group(group)) return refused("the bootstrap token's groups are not allowed");
    if (!group.empty() && !user.is_in(group)) user.groups.emplace_back(group);
    groups.remove_prefix(std::min(comma + 1, groups.size()));
  }
  return user;
}

std::optional<std::string> token_for_signing(const k8s::io::api::core::v1::Secret& secret, api::Timestamp now) {
  std::string token = cat(field(secret, "token-id"), ".", field(secret, "token-secret"));
  if (secret.type() != kBootstrapSecretType || secret.metadata().has_deletion_timestamp()) return std::nullopt;
  if (!is_bootstrap_token(token) || secret.metadata().name() != bootstrap_secret_name(token)) return std::nullopt;
  if (field(secret, "usage-bootstrap-signing") != "true") return std::nullopt;
  if (const auto end = token_end(secret); end && *end <= now.seconds) return std::nullopt;
  return token;
}

std::optional<int64_t> token_end(const k8s::io::api::core::v1::Secret& secret) {
  const std::string_view text = field(secret, "expiration");
  if (text.empty()) return std::nullopt;
  const auto end = api::parse_rfc3339(text);
  return end ? end->seconds : 0;
}

}  // namespace gantry::control
