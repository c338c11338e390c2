// SPDX-License-Identifier: Apache-2.0
// Signed tokens (JWT, RFC 7519, in JWS's compact form): how service accounts say who they are. Signed with ES256 or
// RS256, whichever the key is made for. Claims are JSON texts; what they mean, times too, is the caller's matter.
// Any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "control/pki/key.h"

namespace gantry::control {

inline constexpr std::size_t kMaxTokenBytes = 64U << 10;

class TokenSigner {
 public:
  // An RSA key, or one on P-256.
  static Result<TokenSigner> make(PrivateKey key);

  Result<std::string> sign(std::string_view claims_json) const;
  PublicKey public_key() const { return key_.public_key(); }

 private:
  TokenSigner(PrivateKey key, std::string header) : key_(std::move(key)), header_(std::move(header)) {}
  PrivateKey key_;
  std::string header_;  // encoded
};

class TokenVerifier {
 public:
  // Keys that are not for tokens are an error. Of a key that is given twice one counts.
  static Result<TokenVerifier> make(std::vector<PublicKey> keys);

  // The claims of a token that one of the keys has signed; of a token that names its key, that one. kUnauthenticated
  // with a reason that repeats nothing of the token.
  Result<std::string> verify(std::string_view token) const;
  // The keys as a JSON Web Key Set (RFC 7517), which /openid/v1/jwks serves.
  std::string jwks() const;
  // What they sign with: "ES256", "RS256". Each once.
  std::vector<std::string> algorithms() const;

 private:
  struct Key {
    PublicKey key;
    std::string id;
    std::string algorithm;
  };
  explicit TokenVerifier(std::vector<Key> keys) : keys_(std::move(keys)) {}
  std::vector<Key> keys_;
};

}  // namespace gantry::control
