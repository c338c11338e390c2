// SPDX-License-Identifier: Apache-2.0
// What a pod's containers are told and given by the node they are on: of the agent's settings, and of the machine.
#pragma once

#include "agent/agent.h"
#include "agent/pod_spec_to_cri.h"

namespace gantry::agent {

// Reads the machine's memory and huge pages. Any thread.
NodeFacts facts_of(const AgentConfig& config);

}  // namespace gantry::agent
