// SPDX-License-Identifier: Apache-2.0
#include "control/pki/token_keys.h"

namespace gantry::control {

Result<std::shared_ptr<const TokenKeys::Set>> TokenKeys::make_set(PrivateKey signing, std::vector<PublicKey> others) {
  others.insert(others.begin(), signing.public_key());
  Result<TokenSigner> signer = TokenSigner::make(std::move(signing));
  if (!signer) return std::unexpected(std::move(signer.error()));
  Result<TokenVerifier> verifier = TokenVerifier::make(std::move(others));
  if (!verifier) return std::unexpected(std::move(verifier.error()));
  return std::make_shared<const Set>(std::move(*signer), std::move(*verifier));
}

Result<std::unique_ptr<TokenKeys>> TokenKeys::make(PrivateKey signing, std::vector<PublicKey> others) {
  Result<std::shared_ptr<const Set>> set = make_set(std::move(signing), std::move(others));
  if (!set) return std::unexpected(std::move(set.error()));
  return std::unique_ptr<TokenKeys>(new TokenKeys(std::move(*set)));
}

Status TokenKeys::replace(PrivateKey signing, std::vector<PublicKey> others) {
  Result<std::shared_ptr<const Set>> set = make_set(std::move(signing), std::move(others));
  if (!set) return std::unexpected(std::move(set.error()));
  const std::lock_guard lock(mutex_);
  set_ = std::move(*set);
  return {};
}

std::shared_ptr<const TokenKeys::Set> TokenKeys::get() const {
  const std::lock_guard lock(mutex_);
  return set_;
}

Result<std::string> TokenKeys::sign(std::string_view claims_json) const { return get()->signer.sign(claims_json); }
Result<std::string> TokenKeys::verify(std::string_view token) const { return get()->verifier.verify(token); }
std::string TokenKeys::jwks() const { return get()->verifier.jwks(); }
std::vector<std::string> TokenKeys::algorithms() const { return get()->verifier.algorithms(); }

}  // namespace gantry::control
