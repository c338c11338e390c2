// SPDX-License-Identifier: Apache-2.0
// What a gRPC server answers to a probe: its statuses, its message, and the bytes of its body. A probe succeeds by one
// whole message that says SERVING, and by nothing else.
#include "agent/probe/grpc_probe.h"
#include "tests/fuzz/fuzz.h"

using namespace gantry;
using fuzz::expect;
using Verdict = agent::ProbeOutcome::Verdict;

namespace {

agent::ProbeOutcome judged(const agent::GrpcAnswer& answer) {
  auto outcome = agent::judge_health(answer);
  expect(outcome.verdict == Verdict::kSuccess || outcome.verdict == Verdict::kFailure, "an answer says something");
  expect(!outcome.output.empty() && outcome.output.size() < 16384 && fuzz::is_utf8(outcome.output),
         "an event can say what it says");
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  auto parts = fuzz::parts_of(fuzz::text_of(bytes, size), 4);
  agent::GrpcAnswer answer{.http_status = std::string(parts[0]),
                           .grpc_status = std::string(parts[1]),
                           .grpc_message = std::string(parts[2]),
                           .body = std::string(parts[3])};
  if (judged(answer).verdict == Verdict::kSuccess) {
    expect(answer.grpc_status == "0", "the call succeeded");
    const std::string& body = answer.body;
    expect(body.size() > 5 && body[0] == 0, "there is a message, and it is not compressed");
    std::size_t length = 0;
    for (int i = 1; i <= 4; ++i) length = length << 8 | static_cast<unsigned char>(body[i]);
    expect(length == body.size() - 5, "it is whole, and the only one");
  }
  // The same message in its prefix.
  const std::string_view message = parts[3];
  std::string prefix(1, 0);
  for (int shift = 24; shift >= 0; shift -= 8) prefix.push_back(static_cast<char>(message.size() >> shift));
  judged({"200", "0", "", prefix + std::string(message)});
  return 0;
}
