// SPDX-License-Identifier: Apache-2.0
#include "agent/probe/exec_probe.h"

#include <chrono>

#include "base/text.h"
#include "cri/runtime/v1/api.pb.h"
#include "cri/runtime_service.h"

namespace gantry::agent {

namespace v1 = ::runtime::v1;
using Verdict = ProbeOutcome::Verdict;

Task<ProbeOutcome> ask_exec(ProbeMeans& means, ExecProbe probe, Duration limit, std::shared_ptr<Event> over) {
  v1::ExecSyncRequest request;
  request.set_container_id(probe.container_id);
  for (const auto& word : probe.command) request.add_cmd(word);
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(limit).count();
  request.set_timeout(seconds);
  auto answer = co_await means.runtime().exec_sync(std::move(request), std::move(over));
  if (answer) {
    std::string output = answer->stdout().substr(0, kMaxProbeOutput);
    output.append(answer->stderr(), 0, kMaxProbeOutput - output.size());
    co_return ProbeOutcome{answer->exit_code() == 0 ? Verdict::kSuccess : Verdict::kFailure,
                           as_utf8(output, kMaxProbeOutput)};
  }
  const Error& error = answer.error();
  if (error.is_deadline()) {
    std::string line;
    for (const auto& word : probe.command) line += cat(line.empty() ? "" : " ", word);
    co_return ProbeOutcome{Verdict::kFailure, cat("command timed out: ", quoted(line, kMaxProbeOutput),
                                                  " timed out after ", seconds, "s")};
  }
  // The container has ended, or its probe has: who waits for that learns it otherwise.
  const bool has_ended = error.is_not_found() || error.is_cancelled() || error.code() == Code::kFailedPrecondition;
  co_return ProbeOutcome{Verdict::kUnknown, has_ended ? std::string() : error.message()};
}

}  // namespace gantry::agent
