// SPDX-License-Identifier: Apache-2.0
// DeploymentController: deployments by replica sets, one for each template, each step as rollout.h says it.
#pragma once

#include <string>
#include <vector>

#include "control/controllers/controller.h"
#include "control/controllers/event_recorder.h"
#include "control/workloads/delayed_wakes.h"
#include "control/workloads/deployment_status.h"
#include "control/workloads/rollout.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::control::workloads {

class DeploymentController final : public Controller {
 public:
  explicit DeploymentController(ControllerParts parts);
  void start() override { queue_.start(); }
  void stop() override { wakes_.clear(); }

 private:
  using DeploymentPtr = std::shared_ptr<const Deployment>;
  // What a step came to: the sets as they are after it.
  struct Outcome {
    std::vector<SetPtr> sets;
    RolloutNews news;
    Status done;
  };

  void wake_for_set(const ReplicaSet& set, bool is_new);
  void wake_for_pod(const k8s::io::api::core::v1::Pod& pod);
  Task<Status> work(std::string key);
  Task<Status> ask_for_a_selector(DeploymentPtr deployment);
  bool old_pods_run(const Deployment& deployment, const std::vector<SetPtr>& sets) const;
  Task<Outcome> take(DeploymentPtr deployment, Owner owner, RolloutStep step, std::vector<SetPtr> sets);
  Task<Status> create(DeploymentPtr deployment, Owner owner, ReplicaSet wanted, Outcome* outcome);
  Task<Status> collide(DeploymentPtr deployment);
  Task<Status> change(Owner owner, SetChange wanted, Outcome* outcome);
  Task<Status> remove(SetPtr set);
  Task<Status> tell(DeploymentPtr deployment, Outcome outcome);

  ControllerParts parts_;
  api::InformerOf<Deployment>& deployments_;
  api::InformerOf<ReplicaSet>& sets_;
  api::InformerOf<k8s::io::api::core::v1::Pod>& pods_;
  EventRecorder events_;
  api::WorkQueue queue_;
  DelayedWakes wakes_;
};

}  // namespace gantry::control::workloads
