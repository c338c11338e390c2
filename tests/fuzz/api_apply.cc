// SPDX-License-Identifier: Apache-2.0
// Server-side apply: {"live": a Pod, "input": what is applied or written}, in whatever state its managedFields are.
#include "api/apply.h"
#include "api/codec.h"
#include "api/json.h"
#include "api/managed_fields.h"
#include "api/strict.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "tests/fuzz/fuzz.h"

namespace api = gantry::api;
namespace core = k8s::io::api::core::v1;
using gantry::fuzz::expect;

namespace {

// As it would be stored; null if it can't be.
api::Value stored(const api::Value& object) {
  core::Pod pod;
  if (!api::decode(object, &pod, {.strict = false, .require_type = false})) return {};
  return api::encode(pod);
}

void check_managed(const api::Value& object) {
  const api::Value* metadata = object.find("metadata");
  const api::Value* managed = metadata == nullptr ? nullptr : metadata->find("managedFields");
  if (managed == nullptr) return;
  auto entries = api::decode_managed_fields(*managed);
  expect(entries.has_value(), "managedFields are read again");
  expect(api::encode_managed_fields(*entries) == *managed, "and written the same");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  auto input = api::parse_json(gantry::fuzz::text_of(bytes, size));
  if (!input || input->find("live") == nullptr || input->find("input") == nullptr) return 0;
  const api::Schema& schema = api::schema_of(*core::Pod::descriptor());
  const api::Value live = stored(*input->find("live"));
  const api::Value config = api::without_duplicates(*input->find("input"));
  const api::Value* before = live.is_null() ? nullptr : &live;
  const api::FieldManager manager{"fuzz", "", 1795000000, api::FieldSet::of({{"status"}}), {}};

  const api::Value written = stored(config);
  if (!written.is_null()) check_managed(api::track_update(schema, before, written, manager));

  std::vector<api::ApplyConflict> conflicts;
  auto first = api::apply_patch(schema, before, config, manager, false, &conflicts);
  if (!first) {
    expect(!first.error().message().empty(), "an error says what is wrong");
    expect(conflicts.empty() == (first.error().code() != gantry::Code::kAborted), "conflicts are told");
    conflicts.clear();
    first = api::apply_patch(schema, before, config, manager, true, &conflicts);
    expect(conflicts.empty(), "who forces has no conflicts");
  }
  if (!first) return 0;
  check_managed(*first);
  const api::Value after = stored(*first);
  if (after.is_null()) return 0;
  auto second = api::apply_patch(schema, &after, config, manager, false, &conflicts);
  expect(second.has_value(), "what was applied can be applied again");
  return 0;
}
