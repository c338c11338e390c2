// SPDX-License-Identifier: Apache-2.0
// DaemonSets: one pod on each node that fits, replaced bit by bit when the template changes.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "control/controllers/controller.h"
#include "control/controllers/event_recorder.h"
#include "control/workloads/daemon_plan.h"
#include "control/workloads/delayed_wakes.h"
#include "control/workloads/owned_pods.h"
#include "control/workloads/revisions.h"

namespace gantry::control::workloads {

// How long the next failed pod of a node is left alone: from a second, doubled each time, to a quarter of an hour, and
// from the beginning after half an hour of peace. One thread.
class FailedPodPauses {
 public:
  // Nothing: it may be removed now, which counts as done.
  std::optional<Duration> left(const std::string& set_uid, const std::string& node, Duration now);
  // Of what is as good as forgotten.
  void forget_old(Duration now);
  void clear() { pauses_.clear(); }

 private:
  struct Pause {
    Duration length;
    Duration since;
  };
  std::unordered_map<std::string, Pause> pauses_;
};

class DaemonSetController final : public Controller {
 public:
  explicit DaemonSetController(ControllerParts parts);
  void start() override { queue_.start(); }
  void stop() override {
    pods_.clear();
    wakes_.clear();
    failed_.clear();
  }

 private:
  using DaemonSet = k8s::io::api::apps::v1::DaemonSet;

  void wake_all();
  void wake_matching(const k8s::io::api::core::v1::Pod& orphan);
  Task<Status> work(std::string key);
  // Of an owner's pods and revisions, before those that nobody controls are taken.
  std::function<Task<Status>()> adoption_check(const Owner& owner);
  Task<Status> apply(const DaemonSet& set, Owner owner, std::string hash, DaemonPlanner::Plan plan);
  // Into `removed`; the others when their pause is over.
  void take_failed(const DaemonSet& set, DaemonPlanner::Plan* plan);
  Task<Status> write_status(const DaemonSet& set, k8s::io::api::apps::v1::DaemonSetStatus status,
                            std::int32_t collisions);
  Task<Status> clean_up(const DaemonSet& set, std::vector<RevisionPtr> revisions, std::set<std::string> current,
                        const std::vector<DaemonPlanner::PodPtr>& pods);

  ControllerParts parts_;
  EventRecorder events_;
  api::WorkQueue queue_;
  DelayedWakes wakes_;
  OwnedPods pods_;
  Revisions revisions_;
  FailedPodPauses failed_;
};

}  // namespace gantry::control::workloads
