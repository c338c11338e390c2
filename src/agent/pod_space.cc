// SPDX-License-Identifier: Apache-2.0
// What a pod that has come to its end gives back while its object stays: its volumes, and for a disk that is full all
// else that it has there. Its status stays as it is: by then it is the API server's, so that nothing is run again for a
// pod whose containers are not there any more, also when gantryd ends in the middle of this.
#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/api_source.h"
#include "agent/pod_worker.h"
#include "base/log.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "volumes/prepare.h"

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

bool PodWorker::forget_volumes() {
  if (volume_call_ && !volume_call_->is_done && !env_->volumes.give_up(*volume_call_)) return false;
  volume_call_.reset();
  volumes_.reset();
  volumes_made_.reset();
  return true;
}

// As kubelet does, of each pod whose containers have all ended for good. It may be done again: what says that the pod
// is at its end is what its containers' records, its eviction's or the API server say.
Task<TimePoint> PodWorker::remove_volumes() {
  if (!forget_volumes()) co_return TimePoint::max();
  Status done;
  if (had_sandbox_) {
    done = co_await env_->disk.run(
        [folder = env_->folders.pod_folder(identity_.uid)] { return volumes::remove(folder); });
  }
  if (stopped_ || terminating_) co_return TimePoint::max();
  has_no_volumes_ = done.has_value();
  if (done) co_return TimePoint::max();
  log::warning("removing the volumes of a pod that has ended, retrying",
               {{"pod", identity_.full_name()}, {"error", done.error()}});
  co_return retries_.failed("space", now());
}

Task<TimePoint> PodWorker::return_space(const ObservedPod& observed) {
  if (!forget_volumes()) {
    gave_back_.set();
    co_return TimePoint::max();
  }
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
