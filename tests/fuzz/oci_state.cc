// SPDX-License-Identifier: Apache-2.0
// state.json of a container, which whoever may write beneath --root can have changed.
#include "cli/oci_container.h"
#include "tests/fuzz/fuzz.h"

namespace cli = gantry::cli;
using gantry::fuzz::expect;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  auto record = cli::parse_record(gantry::fuzz::text_of(bytes, size));
  if (!record) {
    gantry::fuzz::expect_sentence(record.error());
    return 0;
  }
  std::string text = cli::record_text(*record);
  auto again = cli::parse_record(text);
  expect(again && cli::record_text(*again) == text, "a record is written and read as it is");
  for (auto state : {cli::ContainerState::kCreating, cli::ContainerState::kStopped})
    expect(!cli::state_json(*record, state, true).empty(), "there is a state to show");
  return 0;
}
