// SPDX-License-Identifier: Apache-2.0
// JSON and YAML into Values: what is written of one is the same Value again.
#include "api/json.h"
#include "api/yaml.h"
#include "tests/fuzz/fuzz.h"

namespace api = gantry::api;
using gantry::fuzz::expect;
using gantry::fuzz::expect_sentence;

namespace {

void check(const api::Value& value, const api::ParseLimits& limits) {
  std::string text = api::write_json(value);
  auto again = api::parse_json(text);
  expect(again && *again == value, "a Value is written and read as it is");
  expect(api::write_json(*again) == text, "and written the same way");
  expect(text.size() <= limits.bytes * 6 + limits.nodes * 4, "what comes of a text is bounded");
  auto as_yaml = api::parse_yaml(api::write_json(value, {.indent = 2}));
  // Keys that are not texts, and signs that YAML does not take, are JSON's alone.
  if (as_yaml && as_yaml->size() == 1) api::write_json(as_yaml->front());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  std::string_view text = gantry::fuzz::text_of(bytes, size);
  constexpr api::ParseLimits kLimits{.bytes = 64 << 10, .depth = 50, .nodes = 5000};
  if (auto value = api::parse_json(text, kLimits)) {
    check(*value, kLimits);
  } else {
    expect_sentence(value.error());
  }
  if (auto documents = api::parse_yaml(text, kLimits)) {
    for (const api::Value& value : *documents) check(value, kLimits);
  } else {
    expect_sentence(documents.error());
  }
  return 0;
}
