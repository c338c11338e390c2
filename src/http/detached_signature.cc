// SPDX-License-Identifier: Apache-2.0
#include "http/detached_signature.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/text.h"
#include "http/base64url.h"

namespace gantry::http {

std::string detached_signature(std::string_view text, std::string_view key_id, std::string_view secret) {
  const std::string header = base64url(cat(R"({"alg":"HS256","kid":")", key_id, R"("})"));
  const std::string input = cat(header, ".", base64url(text));
  unsigned char code[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  ::HMAC(::EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
         reinterpret_cast<const unsigned char*>(input.data()), input.size(), code, &size);
  return cat(header, "..", base64url({reinterpret_cast<const char*>(code), size}));
}

}  // namespace gantry::http
