// SPDX-License-Identifier: Apache-2.0
// A worker's pod that is evicted.
#include <algorithm>
#include <chrono>
#include <utility>

#include "agent/eviction/record.h"
#include "agent/pod_worker.h"
#include "base/log.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {

void PodWorker::evict(PodEviction eviction) {
  if (!pod_ || rejected_) return;
  const Duration grace = grace_with(eviction);
  if (terminating_) return terminate(grace);
  if (is_running()) take_eviction(std::move(eviction));
  shorten(grace);
  hear();
}

Duration PodWorker::grace_with(const PodEviction& eviction) const {
  const Duration own = std::chrono::seconds(std::max<std::int64_t>(pod_->spec().termination_grace_period_seconds(), 0));
  return std::min(grace_.value_or(own), eviction.grace);
}

void PodWorker::take_eviction(PodEviction eviction) {
  rules_.is_over = rules_.is_over_as_failed = true;
  end_ = Waiting{eviction.reason, eviction.message};
  grace_ = grace_with(eviction);
  eviction_ = std::move(eviction);
}

// A node whose disk takes nothing any more is helped all the same. A pod of a manifest is run again by a later gantryd.
Task<> PodWorker::record_eviction() {
  if (is_eviction_recorded_ || !had_sandbox_ || !identity_.is_api()) co_return;
  auto written = co_await env_->disk.run([folder = env_->folders.pod_folder(identity_.uid), eviction = *eviction_] {
    return write_eviction(folder, eviction);
  });
  is_eviction_recorded_ = true;
  if (written) co_return;
  log::warning("recording a pod's eviction, ignoring",
               {{"pod", identity_.full_name()}, {"uid", identity_.uid}, {"error", written.error()}});
}

Task<> PodWorker::recall_eviction() {
  if (!pod_ || !identity_.is_api() || !had_sandbox_ || rules_.is_over) co_return;
  auto found = co_await env_->disk.run(
      [folder = env_->folders.pod_folder(identity_.uid)] { return read_eviction(folder); });
  if (!found) {
    log::warning("a pod's record of its eviction, ignoring",
                 {{"pod", identity_.full_name()}, {"uid", identity_.uid}, {"error", found.error()}});
  } else if (*found && !stopped_ && !rules_.is_over) {
    log::info("a pod was evicted before", {{"pod", identity_.full_name()}, {"uid", identity_.uid}});
    take_eviction(std::move(**found));
    is_eviction_recorded_ = true;
  }
}

}  // namespace gantry::agent
