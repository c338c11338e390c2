// SPDX-License-Identifier: Apache-2.0
// Image references and digests, as clients and archives write them.
#include "images/digest.h"
#include "images/reference.h"
#include "tests/fuzz/fuzz.h"

namespace images = gantry::images;
using gantry::fuzz::expect;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  std::string_view text = gantry::fuzz::text_of(bytes, size);
  auto digest = images::Digest::parse(text);
  if (!digest) {
    gantry::fuzz::expect_sentence(digest.error());
  } else {
    expect(digest->to_string() == text, "a digest prints as it was");
  }
  auto reference = images::parse_reference(text);
  if (!reference) {
    gantry::fuzz::expect_sentence(reference.error());
    return 0;
  }
  expect(reference->tag.empty() == reference->digest.has_value(), "a tag or a digest");
  expect(!reference->domain.empty() && !reference->path.empty(), "a domain and a path");
  expect(reference->name().size() <= 255 + sizeof("docker.io/library/"), "a name is bounded");
  // A path of a URL and of a folder is made of it.
  expect(("/" + reference->path + "/").find("/../") == std::string::npos, "no path leads up");
  for (unsigned char c : reference->to_string())
    expect(c > ' ' && c < 0x7f && c != '?' && c != '#', "plain characters");
  std::string full = reference->to_string();
  auto again = images::parse_reference(full);
  expect(again && *again == *reference, "the full form means the same");
  return 0;
}
