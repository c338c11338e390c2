// SPDX-License-Identifier: Apache-2.0
// A connection to a port: that it is taken is its success.
#pragma once

#include <cstdint>
#include <string>

#include "agent/probe/probe_outcome.h"
#include "base/loop.h"
#include "base/task.h"

namespace gantry::agent {

struct TcpProbe {
  std::string host;
  std::uint16_t port = 0;
};

Task<ProbeOutcome> ask_tcp(ProbeMeans& means, TcpProbe probe, Duration limit);

}  // namespace gantry::agent
