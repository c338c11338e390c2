// SPDX-License-Identifier: Apache-2.0
// What a node says of its use, and what two such pages make together.
#include "control/resource_metrics/usage.h"
#include "tests/fuzz/fuzz.h"

namespace control = gantry::control;
using gantry::fuzz::expect;
using gantry::fuzz::expect_sentence;
using std::chrono::seconds;

namespace {

void expect_amounts(const control::Use& use) {
  expect(use.cpu.value_or(0) >= 0 && use.memory.value_or(0) >= 0, "nobody uses less than nothing");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view text = gantry::fuzz::text_of(bytes, size);
  const auto before = control::parse_resource_page(text.substr(0, text.size() / 2));
  auto now = control::parse_resource_page(text);
  if (!now) {
    expect_sentence(now.error());
    return 0;
  }
  const control::TakenReading second{std::move(*now), seconds(1'800'000'015)};
  std::optional<control::TakenReading> first;
  if (before) first = control::TakenReading{*before, seconds(1'800'000'000)};
  const control::NodeUse use = control::use_between(first ? &*first : nullptr, second, seconds(15));
  if (use.node) {
    expect_amounts(*use.node);
    expect(use.window.count() > 0, "a rate takes time");
  }
  for (const auto& [name, pod] : use.pods) {
    expect(!pod.containers.empty() && pod.window.count() > 0, "a pod has containers, measured in some time");
    for (const auto& [container, used] : pod.containers) expect_amounts(used);
  }
  return 0;
}
