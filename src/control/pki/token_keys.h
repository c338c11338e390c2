// SPDX-License-Identifier: Apache-2.0
// The keys of service accounts' tokens while they are in use: one signs, it and the older ones verify. They can be
// replaced at any time. Any thread.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "control/pki/key.h"
#include "control/pki/token.h"

namespace gantry::control {

class TokenKeys {
 public:
  // `others` verify, too; the signing one may be among them.
  static Result<std::unique_ptr<TokenKeys>> make(PrivateKey signing, std::vector<PublicKey> others);
  // For what is asked from now on; on an error all stays as it was.
  Status replace(PrivateKey signing, std::vector<PublicKey> others);

  // As those of TokenSigner and TokenVerifier.
  Result<std::string> sign(std::string_view claims_json) const;
  Result<std::string> verify(std::string_view token) const;
  std::string jwks() const;
  std::vector<std::string> algorithms() const;

 private:
  struct Set {
    TokenSigner signer;
    TokenVerifier verifier;
  };
  explicit TokenKeys(std::shared_ptr<const Set> set) : set_(std::move(set)) {}
  static Result<std::shared_ptr<const Set>> make_set(PrivateKey signing, std::vector<PublicKey> others);
  std::shared_ptr<const Set> get() const;

  mutable std::mutex mutex_;
  std::shared_ptr<const Set> set_;
};

}  // namespace gantry::control
