// SPDX-License-Identifier: Apache-2.0
// ValueCipher: how one key keeps values, in upstream's byte formats, so that either reads what the other stored. The
// formats begin after the prefix that names provider and key:
//   aesgcm     nonce (12 bytes), ciphertext, tag (16). The store's key is authenticated with it, so a value that was
//              moved to another key is refused.
//   aescbc     initialization vector (16 bytes), ciphertext with PKCS #7 padding. Nothing is authenticated.
//   secretbox  nonce (24 bytes), tag (16), ciphertext (XSalsa20 and Poly1305)
// Immutable; any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::control {

class ValueCipher {
 public:
  virtual ~ValueCipher() = default;
  // `context` is the store's key.
  virtual Result<std::string> seal(std::string_view plain, std::string_view context) const = 0;
  // kDataLoss for what was not sealed with this key and context, as far as the format tells.
  virtual Result<std::string> open(std::string_view sealed, std::string_view context) const = 0;
};

enum class CipherKind { kAesGcm, kAesCbc, kSecretbox };

// kInvalidArgument for a key of a wrong length: 16, 24 or 32 bytes of AES, 32 of secretbox.
Result<std::shared_ptr<const ValueCipher>> make_cipher(CipherKind kind, std::string key);

}  // namespace gantry::control
