// SPDX-License-Identifier: Apache-2.0
// What a node's shutdown acts with: the workers of its pods, and what the API server knows of them.
//
// Owner: the agent. Loop thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "agent/api_source.h"
#include "agent/environment.h"
#include "agent/eviction_hands.h"
#include "agent/pod_worker.h"
#include "agent/shutdown/node_shutdown.h"

namespace gantry::agent {

// The agent's, which ends them before it goes.
struct ShutdownPlace {
  const PodWorkers& workers;
  const std::unique_ptr<ApiSource>& api;  // null: a node that stands alone
  // Pods that ran before and have no worker yet, by uid.
  const std::map<std::string, PodIdentity>& earlier;
};
// `place` is held only while something is done with it; gone: nothing is done any more.
std::unique_ptr<NodeShutdown> make_shutdown(const std::shared_ptr<Environment>& env, std::weak_ptr<ShutdownPlace> place,
                                            std::function<void()> changed);

}  // namespace gantry::agent
