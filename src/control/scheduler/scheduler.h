// SPDX-License-Identifier: Apache-2.0
// Scheduler: gives pods of schedulerName default-scheduler a node, by pods/binding, and says of those that get none why
// (the condition PodScheduled, the event FailedScheduling).
//
// It does not wait for a binding before it goes on: the pod counts as being on its node (it is assumed there) until the
// API server has said so, or has refused. The server binds a pod once, so what a killed or former scheduler has sent
// late takes nothing back, and the next one begins with what the API server knows.
//
// Where a pod fits nowhere, less important ones may have to leave (preemption.h). Their node stands in its status
// (nominatedNodeName) before the first of them is deleted, so that whoever goes on with this waits for their end, too.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "control/controllers/controller.h"
#include "control/controllers/event_recorder.h"
#include "control/scheduler/cluster_state.h"
#include "control/scheduler/placement.h"
#include "control/scheduler/preemption.h"
#include "control/scheduler/scheduler_metrics.h"
#include "control/scheduler/scheduling_queue.h"
#include "control/scheduler/volumes.h"

namespace gantry::control::scheduling {

// As whom it asks.
inline constexpr char kSchedulerUser[] = "system:kube-scheduler";

class Scheduler final : public Controller {
 public:
  // `steady`: a clock that only goes on. `metrics` must live as long as the loop runs.
  Scheduler(ControllerParts parts, std::function<Duration()> steady, SchedulerMetrics& metrics);
  void start() override;
  void stop() override;

 private:
  using Pod = k8s::io::api::core::v1::Pod;
  using PodPtr = std::shared_ptr<const Pod>;

  void see_pod(const PodPtr& before, PodPtr now);
  void see_placed(PodPtr pod);
  void see_waiting(const PodPtr& before, PodPtr pod);
  void see_gone(const std::string& key);
  void see_node(const api::Informer::Change& change);
  void see_namespace(const api::Informer::Change& change);
  void follow_storage();
  void follow_groups();
  // Wakes those whom it may help that the pod is on the node, or is not any more.
  void wake_for_new(const PodInfo& pod);
  void wake_for_gone(const PodInfo& pod, const std::string& node);
  void wake(std::string_view event, const SchedulingQueue::MayHelp& may_help);

  void nominate(const PodInfoPtr& pod, const std::string& node);
  // It needs no place to be kept for it, or has its place on `node`.
  void end_nomination(const std::string& key, const std::string& node);

  Task<> run();
  // False: it got no node, and it may have taken a while to see that.
  bool schedule(const PodInfoPtr& pod);
  void refuse(const PodInfoPtr& pod, Placement placement);
  // `began`: when its node was looked for.
  Task<> bind(PodInfoPtr pod, std::string node, std::vector<VolumeChoice> volumes, Duration began);
  // These rules have refused it last; none: it has its turn, or needs none.
  void note_refused(const std::string& key, RuleSet by);
  void tell_pending();
  // It does not get the node after all.
  void give_up(const PodInfoPtr& pod);
  bool is_assumed(const PodInfoPtr& pod) const;
  // What is under way needs no request for a while.
  void give_turn_back();
  Task<bool> bring_volumes(PodInfoPtr pod, std::string node, std::vector<VolumeChoice> volumes);
  // False when it is to be tried again.
  Task<bool> make_room(PodInfoPtr pod, Preemption plan);
  Task<bool> evict(PodInfoPtr victim, std::string uid, std::string node);
  bool is_nominated(const PodInfo& pod, const std::string& node) const;
  Task<Status> explain(std::string key);
  // Brings the pod's status to why it has no node, and to its nomination.
  Task<api::Answer<void>> tell(std::string key);

  ControllerParts parts_;
  const std::function<Duration()> steady_;
  SchedulerMetrics& metrics_;
  EventRecorder events_;
  ClusterState cluster_;
  SchedulingQueue queue_;
  Turns turns_;
  std::unordered_map<std::string, PodInfoPtr> assumed_;    // by key: given a node, not known to have it
  std::unordered_set<std::string> awaiting_volumes_;       // keys of those of assumed_ that are not bound before that
  std::unordered_map<std::string, std::string> unplaced_;  // by key: why there was no node, to be told
  std::unordered_map<std::string, RuleSet> refused_;       // by key: what the metrics say of it
  std::unordered_set<std::string> gated_;                  // keys of those that are not looked at
  api::WorkQueue explanations_;
  std::size_t bindings_ = 0;  // under way
  bool is_stopped_ = false;
  Event awake_;            // there may be something to do
  Event storage_changed_;  // or a node has gone
};

}  // namespace gantry::control::scheduling
