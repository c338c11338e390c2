// SPDX-License-Identifier: Apache-2.0
// Packets between gantryd and a shim, either way, and exit records. The first byte says which body follows when the
// rest is no packet.
#include "runtime/launch/launch.h"
#include "shim/protocol.h"
#include "tests/fuzz/fuzz.h"

namespace shim = gantry::shim;
using gantry::fuzz::expect;

namespace {

// What was understood is said again in the same words, whatever a newer one put behind it.
template <typename T>
void check(std::string_view body) {
  auto value = shim::decode<T>(body);
  if (!value) return gantry::fuzz::expect_sentence(value.error());
  std::string once = shim::encode(*value);
  auto again = shim::decode<T>(once);
  expect(again && shim::encode(*again) == once, "what was decoded is encoded and decoded to the same");
  std::string longer = once + "later fields";
  auto tolerant = shim::decode<T>(longer);
  expect(tolerant.has_value(), "what lies behind the known fields is passed over");
}

void check_all(std::string_view body, unsigned which) {
  constexpr void (*kChecks[])(std::string_view) = {
      check<shim::SpawnRequest>,         check<shim::ConfigureRequest>, check<shim::StartRequest>,
      check<shim::ExecRequest>,          check<shim::SignalRequest>,    check<shim::ContainerReference>,
      check<shim::ExecReference>,        check<shim::ResizeRequest>,    check<shim::StartedAnswer>,
      check<shim::FailedAnswer>,         check<shim::HelloEvent>,       check<shim::ExitedEvent>,
      check<shim::ExecExitedEvent>,      check<shim::LaunchedEvent>,    check<shim::StateAnswer>,
      check<shim::UserNamespaceRequest>, check<shim::ContainerHooks>,   check<shim::RuntimeCall>};
  kChecks[which % std::size(kChecks)](body);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size == 0) return 0;
  std::string_view rest = gantry::fuzz::text_of(bytes + 1, size - 1);
  check_all(rest, bytes[0]);
  auto report = gantry::runtime::decode_report(rest);
  if (report) expect(report->message.size() <= gantry::runtime::kMaxReport, "a report's message is bounded");
  auto message = shim::decode_packet(rest);
  if (!message) {
    gantry::fuzz::expect_sentence(message.error());
    return 0;
  }
  check_all(message->body, bytes[0]);
  std::string again = shim::encode_packet(message->header.kind, message->header.request, message->body);
  expect(message->header.version != shim::kVersion || again == rest, "a packet is encoded as it was");
  return 0;
}
