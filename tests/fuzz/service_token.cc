// SPDX-License-Identifier: Apache-2.0
// Service accounts' tokens, of which the agent reads the times, from an API server or a file of before: as claims
// within a token that is well formed, and as the token itself.
#include "agent/token_manager.h"
#include "http/base64url.h"
#include "tests/fuzz/fuzz.h"

using namespace gantry;
using fuzz::expect;

namespace {

bool has_times(std::string_view token) {
  auto times = agent::times_of_token(token);
  if (times) expect(times->issued >= 0 && times->expires > times->issued, "it lives for a while");
  return times.has_value();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view text = fuzz::text_of(bytes, size);
  has_times(text);
  const std::string claims = http::base64url(text);
  const bool is_one = has_times("e30." + claims + ".c2ln");
  expect(has_times("." + claims + ".") == is_one, "header and signature are the API server's matter");
  expect(!has_times("e30." + claims), "there are three parts");
  return 0;
}
