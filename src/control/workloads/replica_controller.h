// SPDX-License-Identifier: Apache-2.0
// ReplicaController: as many equal pods as a ReplicaSet or a ReplicationController asks for, by upstream's rules.
#pragma once

#include <string>
#include <string_view>

#include "control/controllers/controller.h"
#include "control/controllers/event_recorder.h"
#include "control/workloads/delayed_wakes.h"
#include "control/workloads/owned_pods.h"

namespace k8s::io::api::apps::v1 {
class ReplicaSet;
}
namespace k8s::io::api::core::v1 {
class ReplicationController;
}

namespace gantry::control::workloads {

// M: a kind with spec.replicas, selector, template and minReadySeconds.
template <typename M>
class ReplicaController final : public Controller {
 public:
  explicit ReplicaController(ControllerParts parts);
  void start() override { queue_.start(); }
  void stop() override {
    pods_.clear();
    wakes_.clear();
  }

 private:
  using ObjectPtr = std::shared_ptr<const M>;

  void wake_for(const OwnedPods::Pod& orphan);
  Task<Status> work(std::string key);
  Task<Status> replace(ObjectPtr object, Owner owner, std::vector<OwnedPods::PodPtr> pods);
  Task<Status> tell(ObjectPtr object, std::vector<OwnedPods::PodPtr> pods, const Status& replaced);
  std::vector<OwnedPods::PodPtr> related_to(const M& object) const;

  ControllerParts parts_;
  api::InformerOf<M>& objects_;
  EventRecorder events_;
  api::WorkQueue queue_;
  DelayedWakes wakes_;
  OwnedPods pods_;
};

using ReplicaSetController = ReplicaController<k8s::io::api::apps::v1::ReplicaSet>;
using ReplicationControllerController = ReplicaController<k8s::io::api::core::v1::ReplicationController>;
extern template class ReplicaController<k8s::io::api::apps::v1::ReplicaSet>;
extern template class ReplicaController<k8s::io::api::core::v1::ReplicationController>;

}  // namespace gantry::control::workloads
