// SPDX-License-Identifier: Apache-2.0
// A command that is run in the container: exit code 0 is its success.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/probe/probe_outcome.h"
#include "base/loop.h"
#include "base/task.h"

namespace gantry::agent {

struct ExecProbe {
  std::string container_id;
  std::vector<std::string> command;
};

// Whole seconds of `limit`, as the CRI counts; what has not ended by then is killed, and has failed.
Task<ProbeOutcome> ask_exec(ProbeMeans& means, ExecProbe probe, Duration limit, std::shared_ptr<Event> over);

}  // namespace gantry::agent
