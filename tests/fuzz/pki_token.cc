// SPDX-License-Identifier: Apache-2.0
// Tokens, as they come in requests. None of them is signed with the key of this run, whatever it says.
#include <string>

#include "control/pki/token.h"
#include "http/base64url.h"
#include "tests/fuzz/fuzz.h"

namespace control = gantry::control;
namespace http = gantry::http;
using gantry::fuzz::expect;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  static const control::PrivateKey key = *control::PrivateKey::generate();
  static const control::TokenVerifier verifier = *control::TokenVerifier::make({key.public_key()});
  auto text = gantry::fuzz::text_of(bytes, size);
  auto check = [](const gantry::Result<std::string>& claims) {
    expect(!claims, "nobody else signs");
    expect(claims.error().code() == gantry::Code::kUnauthenticated, "and that is what is said");
    gantry::fuzz::expect_sentence(claims.error());
  };
  check(verifier.verify(text));
  // The same as a header, in a token that is well formed.
  check(verifier.verify(http::base64url(text) + ".e30." + http::base64url(text)));
  if (auto decoded = http::from_base64url(text)) expect(http::base64url(*decoded) == text, "one form for each text");
  return 0;
}
