// SPDX-License-Identifier: Apache-2.0
// The controller that mirrors Endpoints in EndpointSlices, for services without a selector, whose endpoints somebody
// else writes in the older form.
#pragma once

#include <string>

#include "control/controllers/controller.h"
#include "control/controllers/event_recorder.h"
#include "control/services/own_slices.h"

namespace k8s::io::api::core::v1 {
class Endpoints;
}

namespace gantry::control::services {

// What is to be mirrored, and how much of it is not.
struct MirroredEndpoints {
  SliceFrame frame;
  EndpointGroups groups;
  int invalid = 0;  // addresses
  int beyond = 0;   // those that a subset has more than a thousand
};
MirroredEndpoints mirrored_endpoints(const k8s::io::api::core::v1::Endpoints& endpoints);

class EndpointMirror final : public Controller {
 public:
  explicit EndpointMirror(ControllerParts parts);
  void start() override { queue_.start(); }
  void stop() override { slices_.clear(); }

 private:
  Task<Status> work(std::string key);
  bool is_mirrored(const std::string& key) const;

  ControllerParts parts_;
  EventRecorder events_;
  api::WorkQueue queue_;
  OwnSlices slices_;
};

}  // namespace gantry::control::services
