// SPDX-License-Identifier: Apache-2.0
// What a pod that has come to its end gives back of the disk while its object stays. Its status stays as it is: it is
// the API server's by then, so that nothing is run again for a pod whose containers are not there any more, also when
// gantryd ends in the middle of this.
#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/api_source.h"
#include "agent/pod_worker.h"
#include "base/log.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

TimePoint now() { return std::chrono::steady_clock::now(); }

}  // namespace

void PodWorker::give_back() {
  is_asked_back_ = true;
  hear();
}

bool PodWorker::is_end_known() const {
  return identity_.is_api() && has_ended(pod_->status()) && !has_running(pod_->status());
}

bool PodWorker::is_to_give_back() const {
  const bool is_evicted = end_ && end_->reason == "Evicted";
  return !has_nothing_ && (is_asked_back_ || is_evicted) && is_end_known();
}

// The newest of a name goes last: as long as any of it is there, that one tells how it ended.
Task<Status> PodWorker::remove_contents(const ObservedPod& observed) {
  std::vector<ObservedContainer> containers = observed.containers;
  std::ranges::sort(containers, {}, &ObservedContainer::attempt);
  for (const auto& container : containers) {
    auto removed = co_await remove_container(container);
    if (stopped_ || terminating_) co_return Status();
    if (!removed) co_return fail_with(std::move(removed.error()), absl::StrCat("container ", container.name));
  }
  if (!had_sandbox_) co_return Status();
  co_return co_await env_->disk.run(
      [env = env_, uid = identity_.uid, logs = log_folder()] { return env->folders.remove_pod(uid, logs); });
}

Task<TimePoint> PodWorker::return_space(const ObservedPod& observed) {
  // One that hangs holds up this alone, and is heard of when it is done.
  if (volume_call_ && !volume_call_->is_done && !env_->volumes.give_up(*volume_call_)) {
    gave_back_.set();
    co_return TimePoint::max();
  }
  volume_call_.reset();
  volumes_.reset();
  volumes_made_.reset();
  auto done = co_await remove_contents(observed);
  if (stopped_ || terminating_) co_return TimePoint::max();
  gave_back_.set();
  if (!done) {
    log::warning("removing what a pod that has ended left on the disk, retrying",
                 {{"pod", identity_.full_name()}, {"error", done.error()}});
    if (env_->changed) env_->changed(identity_.uid);
    co_return retries_.failed("space", now());
  }
  has_nothing_ = true;
  log::info("a pod that has ended gave back its disk", {{"pod", identity_.full_name()}, {"uid", identity_.uid}});
  if (env_->changed) env_->changed(identity_.uid);
  co_return TimePoint::max();
}

}  // namespace gantry::agent
