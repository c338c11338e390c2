// SPDX-License-Identifier: Apache-2.0
#include "agent/shutdown_hands.h"

#include <utility>
#include <vector>

#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

// A static pod's end is told by its mirror, which nobody waits for.
bool is_end_told(const ShutdownPlace& place, const std::string& uid) {
  const auto found = place.workers.find(uid);
  if (found == place.workers.end() || !found->second->identity().is_api() || !place.api) return true;
  const auto& identity = found->second->identity();
  const auto known = place.api->find(identity.namespace_, identity.name, uid);
  return !known || (has_ended(known->status()) && !has_running(known->status()));
}

}  // namespace

std::unique_ptr<NodeShutdown> make_shutdown(const std::shared_ptr<Environment>& env, std::weak_ptr<ShutdownPlace> place,
                                            std::function<void()> changed) {
  NodeShutdown::Hands hands;
  hands.pods = [place] {
    std::vector<NodeShutdown::Hands::Pod> pods;
    const auto here = place.lock();
    if (!here) return pods;
    for (const auto& [uid, worker] : here->workers) {
      if (!worker->has_come_to_rest()) pods.push_back({uid, worker->pod()->spec().priority()});
    }
    return pods;
  };
  hands.are_known = [place] {
    const auto here = place.lock();
    return !here || ((!here->api || here->api->is_synced()) && here->earlier.empty());
  };
  hands.end = [place](const std::string& uid, const PodEviction& eviction) {
    const auto here = place.lock();
    if (!here) return;
    if (auto found = here->workers.find(uid); found != here->workers.end()) found->second->evict(eviction);
  };
  hands.is_told = [place](const std::string& uid) {
    const auto here = place.lock();
    return !here || is_end_told(*here, uid);
  };
  hands.changed = std::move(changed);
  hands.events = env->events;
  return std::make_unique<NodeShutdown>(env->loop, env->disk, shutdown_periods(env->config.shutdown),
                                        env->config.shutdown_lock, std::move(hands));
}

}  // namespace gantry::agent
