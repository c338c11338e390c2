// SPDX-License-Identifier: Apache-2.0
#include "control/plane/controllers.h"

#include <algorithm>
#include <chrono>
#include <memory>

#include "control/autoscaling/autoscaling_controllers.h"
#include "control/scheduler/scheduler.h"
#include "control/services/service_controllers.h"
#include "control/workloads/workload_controllers.h"

namespace gantry::control {

namespace {

Duration steady_clock() { return std::chrono::steady_clock::now().time_since_epoch(); }

void append(std::vector<MoreController>* all, std::vector<MoreController> more) {
  std::ranges::move(more, std::back_inserter(*all));
}

}  // namespace

std::vector<MoreController> more_controllers(scheduling::SchedulerMetrics* scheduler,
                                             autoscaling::Settings autoscaling) {
  std::vector<MoreController> all;
  append(&all, workloads::workload_controllers());
  append(&all, services::service_controllers());
  append(&all, autoscaling::autoscaling_controllers(autoscaling));
  if (scheduler != nullptr) {
    all.push_back({.name = "",
                   .account = scheduling::kSchedulerUser,
                   .make =
                       [scheduler](const ControllerParts& parts) {
                         return std::make_unique<scheduling::Scheduler>(parts, steady_clock, *scheduler);
                       },
                   .lease = kSchedulerLease});
  }
  return all;
}

const std::vector<std::string>& controller_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all = own_controller_names();
    for (const MoreController& more : more_controllers(/*scheduler=*/nullptr)) all.push_back(more.name);
    std::ranges::sort(all);
    return all;
  }();
  return names;
}

}  // namespace gantry::control
