// SPDX-License-Identifier: Apache-2.0
// Tokens by which nodes join, "ID.SECRET": what their secrets in kube-system say. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "api/time.h"
#include "control/server/call.h"

namespace k8s::io::api::core::v1 {
class Secret;
}

namespace gantry::control {

// The type of their secrets.
inline constexpr char kBootstrapSecretType[] = "bootstrap.kubernetes.io/token";

// Six and sixteen of a-z0-9.
bool is_bootstrap_token(std::string_view token);
// "bootstrap-token-ID". Precondition: is_bootstrap_token().
std::string bootstrap_secret_name(std::string_view token);
// Whose the token is. kUnauthenticated when the secret is not for it, for other uses, or has expired.
Result<User> read_bootstrap_token(std::string_view token, const k8s::io::api::core::v1::Secret& secret,
                                  api::Timestamp now);

// "ID.SECRET" if the secret is a live token for signing cluster-info.
std::optional<std::string> token_for_signing(const k8s::io::api::core::v1::Secret& secret, api::Timestamp now);
// When the token ends; nothing for one that does not. One that says so in words that are no time has ended.
std::optional<int64_t> token_end(const k8s::io::api::core::v1::Secret& secret);

}  // namespace gantry::control
