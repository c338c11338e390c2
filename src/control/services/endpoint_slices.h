// SPDX-License-Identifier: Apache-2.0
// The controller of EndpointSlices: where a service leads to by its selector, in objects of 100 endpoints. Those of a
// service that is deleted go as all that it owns.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "control/controllers/controller.h"
#include "control/controllers/event_recorder.h"
#include "control/services/gathering.h"
#include "control/services/own_slices.h"
#include "control/services/service_pods.h"
#include "control/services/trigger_times.h"

namespace k8s::io::api::core::v1 {
class Node;
}

namespace gantry::control::services {

// The slices that the service should have; `missing` is a pod's whose node is not known, and that is left out.
struct WantedSlices {
  SliceFrame frame;
  EndpointGroups groups;
  std::shared_ptr<const k8s::io::api::core::v1::Pod> missing;
};
using FindNode = std::function<std::shared_ptr<const k8s::io::api::core::v1::Node>(const std::string& name)>;
WantedSlices wanted_slices(const k8s::io::api::core::v1::Service& service,
                           const std::vector<std::shared_ptr<const k8s::io::api::core::v1::Pod>>& pods,
                           const FindNode& find_node);

class EndpointSliceController final : public Controller {
 public:
  explicit EndpointSliceController(ControllerParts parts);
  void start() override { queue_.start(); }
  void stop() override {
    gathering_.clear();
    pods_.clear();
    slices_.clear();
    times_.clear();
  }

 private:
  Task<Status> work(std::string key);

  ControllerParts parts_;
  EventRecorder events_;
  api::WorkQueue queue_;
  Gathering gathering_{queue_};
  ServicePods pods_;
  OwnSlices slices_;
  TriggerTimes times_;
};

}  // namespace gantry::control::services
