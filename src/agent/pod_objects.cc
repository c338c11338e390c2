// SPDX-License-Identifier: Apache-2.0
// A worker's pod and the objects of the API that it refers to.
#include <utility>

#include "agent/config_volumes.h"
#include "agent/pod_worker.h"
#include "agent/token_manager.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {

void PodWorker::follow_objects() {
  if (!env_->objects || !pod_) return;
  objects_ = env_->objects->hold([weak = weak_from_this()] {
    if (auto self = weak.lock()) self->hear_objects();
  });
  need_objects();
}

void PodWorker::need_objects() {
  if (!objects_ended_) objects_.need(objects_of(*pod_));
}

void PodWorker::update_objects() {
  need_objects();
  if (config_volumes_) config_volumes_->update(pod_);
}

void PodWorker::hear_objects() {
  if (config_volumes_) config_volumes_->hear();
  retry_now("CreateContainerConfigError");
}

void PodWorker::retry_now(const char* reason) {
  for (auto& [name, trouble] : troubles_) {
    if (trouble.waiting.reason != reason || trouble.until == TimePoint::min()) continue;
    trouble.until = TimePoint::min();
    hear();
  }
}

// Before that nothing of the pod is on the disk that would have to be removed.
void PodWorker::begin_config_volumes() {
  if (std::exchange(objects_ended_, false)) need_objects();
  if (config_volumes_ || !had_sandbox_ || !ConfigVolumes::has_any(*pod_)) return;
  config_volumes_ = std::make_shared<ConfigVolumes>(env_, pod_, [weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self) return;
    self->retry_now("ContainerCreating");
    self->hear();
  });
  config_volumes_->start();
}

Task<> PodWorker::end_config_volumes() {
  objects_ended_ = true;
  objects_.need({});
  if (!config_volumes_) co_return;
  config_volumes_->stop();
  co_await config_volumes_->wait_ended();
  config_volumes_.reset();
  if (env_->tokens) env_->tokens->forget(identity_.uid);
}

}  // namespace gantry::agent
