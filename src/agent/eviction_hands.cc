// SPDX-License-Identifier: Apache-2.0
#include "agent/eviction_hands.h"

#include <chrono>
#include <utility>
#include <vector>

#include "agent/eviction/node_meter.h"
#include "agent/pod_worker.h"
#include "base/log.h"

namespace gantry::agent {
namespace {

// For which what pods that have ended left on the disk is waited for before the disk is looked at again.
constexpr std::chrono::seconds kReclaim{30};

// All of them at once, and what takes long goes on by itself.
Task<> empty_ended_pods(std::shared_ptr<EvictionPlace> place) {
  std::vector<std::shared_ptr<PodWorker>> ended;
  for (const auto& [uid, worker] : place->workers) {
    if (!worker->is_over_for_good() || worker->gave_back().is_set()) continue;
    worker->give_back();
    ended.push_back(worker);
  }
  const auto until = std::chrono::steady_clock::now() + kReclaim;
  for (const auto& worker : ended) {
    const auto left = until - std::chrono::steady_clock::now();
    if (place->is_stopped || left <= left.zero() || !co_await worker->gave_back().wait_for(left)) co_return;
  }
}

Task<> reclaim_disk(std::shared_ptr<EvictionPlace> place, bool with_images) {
  co_await empty_ended_pods(place);
  if (place->is_stopped || !with_images) co_return;
  auto removed = co_await place->image_gc.remove_unused(std::chrono::steady_clock::now());
  if (!removed) log::warning("removing unused images", {{"error", removed.error()}});
}

// Null: there is none, or none any more.
std::shared_ptr<PodWorker> find(const std::weak_ptr<EvictionPlace>& weak, const std::string& uid) {
  const auto place = weak.lock();
  if (!place) return nullptr;
  auto found = place->workers.find(uid);
  return found == place->workers.end() ? nullptr : found->second;
}

}  // namespace

std::unique_ptr<Evictions> make_evictions(const std::shared_ptr<Environment>& env, std::weak_ptr<EvictionPlace> place,
                                          std::function<void()> pressures_changed) {
  Evictions::Hands hands;
  hands.pods = [place] {
    std::vector<PodToMeasure> pods;
    const auto here = place.lock();
    if (!here) return pods;
    for (const auto& [uid, worker] : here->workers) {
      if (worker->is_running()) pods.push_back({uid, worker->pod(), !worker->identity().is_api()});
    }
    return pods;
  };
  hands.has_ended = [place](const std::string& uid) {
    const auto worker = find(place, uid);
    return !worker || worker->is_still();
  };
  hands.evict = [place](const std::string& uid, const PodEviction& eviction) {
    if (const auto worker = find(place, uid)) worker->evict(eviction);
  };
  hands.has_given_back = [place](const std::string& uid) {
    const auto worker = find(place, uid);
    return !worker || worker->gave_back().is_set();
  };
  hands.reclaim_disk = [place](bool with_images) -> Task<> {
    if (auto here = place.lock()) co_await reclaim_disk(std::move(here), with_images);
  };
  hands.pressures_changed = std::move(pressures_changed);
  hands.events = env->events;
  auto meter = std::make_shared<NodeMeter>(env->runtime, env->images, env->disk,
                                           PodDiskFolders{env->config.root_dir, env->config.pod_logs_dir});
  return std::make_unique<Evictions>(env->loop, std::move(meter), env->config.eviction, std::move(hands));
}

}  // namespace gantry::agent
