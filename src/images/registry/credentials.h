// SPDX-License-Identifier: Apache-2.0
// What a registry is shown. Never stored, never logged, in no error. Values.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::images {

struct Credentials {
  std::string username;
  std::string password;
  std::string identity_token;  // exchanged at the token server for a token of the registry
  std::string registry_token;  // sent as it is

  bool has_password() const { return !username.empty() || !password.empty(); }
  bool operator==(const Credentials&) const = default;
};

// As CRI's AuthConfig has them.
struct CredentialWords {
  std::string username;
  std::string password;
  std::string auth;            // base64 of "username:password", in place of those
  std::string server_address;  // whose they are; "" for whoever is asked
  std::string identity_token;
  std::string registry_token;
};

// Those for the registry of a reference's domain: none when they are for another. kInvalidArgument for what can be no
// header's value, without repeating it.
Result<Credentials> credentials_for(const CredentialWords& words, std::string_view domain);

// The value of Authorization.
std::string basic_authorization(const Credentials& credentials);
std::string bearer_authorization(std::string_view token);

// A token may stand in a header: visible ASCII, at most 64 KiB.
bool is_token_text(std::string_view text);

// application/x-www-form-urlencoded.
std::string url_encoded(std::string_view text);

}  // namespace gantry::images
