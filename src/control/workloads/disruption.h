// SPDX-License-Identifier: Apache-2.0
// The controller of PodDisruptionBudgets: their status says how many of their pods an eviction may still take
// (server/actions/pod_eviction.h takes them). A pod that was to leave and did not loses its condition DisruptionTarget.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "api/label_selector.h"
#include "control/controllers/controller.h"
#include "control/controllers/event_recorder.h"
#include "control/workloads/delayed_wakes.h"
#include "control/workloads/disruption_status.h"
#include "control/workloads/pod_scales.h"

namespace gantry::control::workloads {

class DisruptionController final : public Controller {
 public:
  explicit DisruptionController(ControllerParts parts);
  void start() override;
  void stop() override;

 private:
  using Pod = k8s::io::api::core::v1::Pod;
  void see_pod(const api::Informer::Change& change);
  std::vector<std::string> budgets_of(const Pod& pod) const;
  PodList pods_of(const std::string& key) const;
  Task<Status> work(std::string key);
  Task<Result<std::optional<BudgetStatus>>> judge(std::shared_ptr<const Budget> budget);
  Task<Status> clear_target(std::string key);

  ControllerParts parts_;
  EventRecorder events_;
  api::WorkQueue queue_;
  api::WorkQueue stale_;  // pods whose DisruptionTarget may say nothing any more
  DelayedWakes rechecks_;
  DelayedWakes stale_later_;
  PodScales scales_;
  std::unordered_map<std::string, api::LabelSelector> selectors_;  // of all budgets
};

}  // namespace gantry::control::workloads
