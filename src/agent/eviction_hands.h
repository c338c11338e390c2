// SPDX-License-Identifier: Apache-2.0
// What a node's evictions act with: the workers of its pods, and its unused images.
//
// Owner: the agent. Loop thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "agent/environment.h"
#include "agent/eviction/eviction.h"
#include "agent/image_gc.h"

namespace gantry::agent {

class PodWorker;

using PodWorkers = std::map<std::string, std::shared_ptr<PodWorker>>;  // by uid

// The agent's, which ends them before it goes.
struct EvictionPlace {
  const PodWorkers& workers;
  ImageGc& image_gc;
  const bool& is_stopped;
};
// `place` is held only while something is done with it; gone: nothing is done any more.
std::unique_ptr<Evictions> make_evictions(const std::shared_ptr<Environment>& env, std::weak_ptr<EvictionPlace> place,
                                          std::function<void()> pressures_changed);

}  // namespace gantry::agent
