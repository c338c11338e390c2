// SPDX-License-Identifier: Apache-2.0
// The controller of Endpoints, the older form of EndpointSlices: one object for each service with a selector, with a
// thousand addresses at most. It goes with its service, whoever made it.
#pragma once

#include <string>

#include "control/controllers/controller.h"
#include "control/controllers/event_recorder.h"
#include "control/services/gathering.h"
#include "control/services/service_pods.h"
#include "control/services/trigger_times.h"

namespace k8s::io::api::core::v1 {
class Endpoints;
}

namespace gantry::control::services {

class EndpointsController final : public Controller {
 public:
  explicit EndpointsController(ControllerParts parts);
  void start() override;
  void stop() override {
    gathering_.clear();
    pods_.clear();
    times_.clear();
  }

 private:
  using Endpoints = k8s::io::api::core::v1::Endpoints;
  Task<Status> work(std::string key);
  Task<Status> remove(std::string key);
  Task<Status> write(Endpoints wanted);

  ControllerParts parts_;
  EventRecorder events_;
  api::WorkQueue queue_;
  Gathering gathering_{queue_};
  ServicePods pods_;
  TriggerTimes times_;
};

}  // namespace gantry::control::services
