// SPDX-License-Identifier: Apache-2.0
// An object and a patch: {"object": ..., "patch": ...}, by each of the three patches that need no owner.
#include "api/json.h"
#include "api/json_patch.h"
#include "api/merge_patch.h"
#include "api/strategic_merge.h"
#include "api/strict.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "tests/fuzz/fuzz.h"

namespace api = gantry::api;
using gantry::fuzz::expect;

namespace {

void check(const gantry::Result<api::Value>& result) {
  if (!result) {
    expect(!result.error().message().empty() && result.error().message().size() < 8192, "an error says what is wrong");
    return;
  }
  expect(api::depth_of(*result) <= 400, "the result is no deeper than object and patch");
  auto again = api::parse_json(api::write_json(*result), {.bytes = size_t{64} << 20, .depth = 400});
  expect(again && *again == *result, "the result is a document");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  auto input = api::parse_json(gantry::fuzz::text_of(bytes, size));
  if (!input || input->find("object") == nullptr || input->find("patch") == nullptr) return 0;
  const api::Value object = api::without_duplicates(*input->find("object"));
  const api::Value& patch = *input->find("patch");
  api::FieldProblems problems;
  api::find_duplicates(patch, &problems);
  api::find_unknown_in_json_patch(patch, &problems);
  expect(problems.size() <= 200, "problems are bounded");

  check(api::apply_json_patch(object, patch, {.depth = 300}));
  check(api::apply_strategic_merge_patch(api::schema_of(*k8s::io::api::core::v1::Pod::descriptor()), object, patch));
  auto merged = api::apply_merge_patch(object, patch);
  check(merged);
  if (merged) {
    // Only from the second time on: nulls inside lists stay when a list takes an object's place, and not when a list's.
    auto twice = api::apply_merge_patch(*merged, patch);
    auto thrice = twice ? api::apply_merge_patch(*twice, patch) : twice;
    expect(thrice && *thrice == *twice, "a merge patch that was applied changes nothing");
  }
  return 0;
}
