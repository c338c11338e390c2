// SPDX-License-Identifier: Apache-2.0
#include "agent/probe/tcp_probe.h"

#include "base/text.h"
#include "http/connect.h"

namespace gantry::agent {

using Verdict = ProbeOutcome::Verdict;

Task<ProbeOutcome> ask_tcp(ProbeMeans& means, TcpProbe probe, Duration limit) {
  auto socket = co_await http::connect_tcp(means.loop(), probe.host, probe.port, limit);
  if (socket) co_return ProbeOutcome{Verdict::kSuccess, ""};
  const std::string where = http::host_and_port(probe.host, probe.port);
  co_return ProbeOutcome{Verdict::kFailure, socket.error().is_deadline() ? cat("dial tcp ", where, ": i/o timeout")
                                                                         : as_utf8(socket.error().message())};
}

}  // namespace gantry::agent
