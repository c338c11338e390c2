// SPDX-License-Identifier: Apache-2.0
// What a probe yields, and what all of them work with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/loop.h"
#include "base/result.h"
#include "http/tls.h"

namespace gantry::cri {
class RuntimeService;
}

namespace gantry::agent {

// What is read of an answer, and what an event says of it.
inline constexpr std::size_t kMaxProbeOutput = 10U << 10;
// How a prober calls itself, to web servers and to gRPC's.
inline constexpr char kProbeUserAgent[] = "kube-probe/1.37";

struct ProbeOutcome {
  // A warning counts as a success; of an unknown one nothing is learnt, as when the runtime did not answer.
  enum class Verdict : std::uint8_t { kSuccess, kWarning, kFailure, kUnknown };
  Verdict verdict = Verdict::kUnknown;
  std::string output;  // UTF-8; a sentence, or what the other side said. Of an unknown one empty: not worth an event
};

// Shared by all probes of an agent. Loop thread.
class ProbeMeans {
 public:
  // Both outlive it.
  ProbeMeans(Loop& loop, cri::RuntimeService& runtime) : loop_(loop), runtime_(runtime) {}

  Loop& loop() const { return loop_; }
  cri::RuntimeService& runtime() const { return runtime_; }
  // It takes whatever certificate it is shown: a probe asks whether somebody answers, not who. Made when first used.
  Result<std::shared_ptr<http::TlsClient>> tls();

 private:
  Loop& loop_;
  cri::RuntimeService& runtime_;
  std::shared_ptr<http::TlsClient> tls_;
};

}  // namespace gantry::agent
