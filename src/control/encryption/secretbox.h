// SPDX-License-Identifier: Apache-2.0
// NaCl's secretbox: XSalsa20 and Poly1305. OpenSSL has the latter alone, so the stream cipher is here. Its steps don't
// depend on what is secret. Any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::control {

inline constexpr std::size_t kSecretboxKey = 32;
inline constexpr std::size_t kSecretboxNonce = 24;

// The tag (16 bytes) and the ciphertext. Preconditions: key and nonce have their sizes.
Result<std::string> seal_secretbox(std::string_view key, std::string_view nonce, std::string_view plain);
// kDataLoss when the tag is not of this key, nonce and ciphertext.
Result<std::string> open_secretbox(std::string_view key, std::string_view nonce, std::string_view box);

}  // namespace gantry::control
