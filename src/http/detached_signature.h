// SPDX-License-Identifier: Apache-2.0
// Signatures of a text by a secret that both sides know (JWS with HMAC-SHA256, RFC 7515 appendix F: without the text
// itself): by them who has a bootstrap token knows that cluster-info is his cluster's.
#pragma once

#include <string>
#include <string_view>

namespace gantry::http {

// "HEADER..SIGNATURE", the same for the same text, key and secret. `key_id` is of plain letters and digits.
std::string detached_signature(std::string_view text, std::string_view key_id, std::string_view secret);

}  // namespace gantry::http
