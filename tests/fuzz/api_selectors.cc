// SPDX-License-Identifier: Apache-2.0
// Selectors: of labels, of fields, and of labels as an object has them.
#include "api/field_selector.h"
#include "api/json.h"
#include "api/label_selector.h"
#include "tests/fuzz/fuzz.h"

namespace api = gantry::api;
using gantry::fuzz::expect;
using gantry::fuzz::expect_sentence;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view text = gantry::fuzz::text_of(bytes, size);
  const api::Value labels = api::Value::object({{"a", "b"}, {"n", "7"}, {"app", ""}});
  if (auto selector = api::LabelSelector::parse(text)) {
    auto again = api::LabelSelector::parse(selector->to_string());
    expect(again && again->to_string() == selector->to_string(), "the canonical text is canonical");
    expect(again->matches(&labels) == selector->matches(&labels), "and means the same");
  } else {
    expect_sentence(selector.error());
  }
  if (auto selector = api::FieldSelector::parse(text, [](std::string_view field) { return !field.empty(); })) {
    const std::string canonical = selector->to_string();
    auto again = api::FieldSelector::parse(canonical, [](std::string_view) { return true; });
    expect(again && again->requirements().size() == selector->requirements().size(), "a field selector is read again");
    const auto fields = [](std::string_view field) { return field == "a" ? std::string("b") : std::string(); };
    expect(again->matches(fields) == selector->matches(fields), "and means the same");
  } else {
    expect(!selector.error().message().empty(), "an error says what is wrong");
  }
  if (auto value = api::parse_json(text)) {
    if (auto selector = api::LabelSelector::from_value(*value); selector && !selector->selects_nothing()) {
      auto again = api::LabelSelector::parse(selector->to_string());
      expect(again && again->to_string() == selector->to_string(), "an object's selector has a text, too");
    }
  }
  return 0;
}
