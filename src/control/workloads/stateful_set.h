// SPDX-License-Identifier: Apache-2.0
// StatefulSets: pods with names and claims of their own, made, replaced and removed in the order of their ordinals.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "control/controllers/controller.h"
#include "control/controllers/event_recorder.h"
#include "control/workloads/delayed_wakes.h"
#include "control/workloads/owned_pods.h"
#include "control/workloads/revisions.h"
#include "control/workloads/stateful_plan.h"

namespace gantry::control::workloads {

class StatefulSetController final : public Controller {
 public:
  explicit StatefulSetController(ControllerParts parts);
  void start() override { queue_.start(); }
  void stop() override {
    pods_.clear();
    wakes_.clear();
  }

 private:
  using StatefulSet = k8s::io::api::apps::v1::StatefulSet;
  using Claim = k8s::io::api::core::v1::PersistentVolumeClaim;
  using Pod = k8s::io::api::core::v1::Pod;

  void wake_matching(const Pod& orphan);
  void wake_of_claim(const Claim& claim);
  std::function<Task<Status>()> adoption_check(const Owner& owner);
  Task<Status> work(std::string key);
  // The template of each revision, for pods that are to be made.
  struct Templates {
    PodTemplateSpec current, update;
  };
  Task<Status> apply(const StatefulSet& set, Owner owner, StatefulPlan plan, const StatefulView& view,
                     Templates templates);
  Task<Status> make(const StatefulSet& set, Owner owner, std::vector<StatefulPlan::Missing> missing,
                    const StatefulView& view, Templates templates);
  // Each claim of that ordinal is there when this returns.
  Task<Status> make_claims(const StatefulSet& set, Owner owner, std::int64_t ordinal);
  // Labels of the pod, and whom its claims go with.
  Task<Status> put_right(const StatefulSet& set, Owner owner, OwnedPods::PodPtr pod);
  Task<Status> write_status(const StatefulSet& set, const StatefulView& view, std::int32_t collisions);

  ControllerParts parts_;
  EventRecorder events_;
  api::WorkQueue queue_;
  DelayedWakes wakes_;
  OwnedPods pods_;
  Revisions revisions_;
  api::InformerOf<Claim>& claims_;
};

}  // namespace gantry::control::workloads
