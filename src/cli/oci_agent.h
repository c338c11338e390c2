// SPDX-License-Identifier: Apache-2.0
// Agents of seccomp profiles: who answers for the system calls that a profile leaves to somebody else
// (SCMP_ACT_NOTIFY). One listens on a unix socket (SOCK_STREAM); for each process that runs under such a profile it is
// connected to once, told of the process in the specification's words, and given the listener of its filter.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>

#include "base/owned_fd.h"
#include "base/result.h"
#include "runtime/plan/plan.h"

namespace gantry::cli {

// For an agent to take what it is told; and, once it has, for the rest of the launch, whose calls may wait for it.
inline constexpr std::chrono::seconds kAgentLimit{30};

// `pid` runs under the filter whose listener it is; `state` is its container's, as state_json() has it.
Status tell_agent(const runtime::SeccompAgent& agent, pid_t pid, const std::string& state, FdRef listener);

}  // namespace gantry::cli
