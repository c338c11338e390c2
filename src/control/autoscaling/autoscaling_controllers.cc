// SPDX-License-Identifier: Apache-2.0
#include "control/autoscaling/autoscaling_controllers.h"

#include <memory>

#include "control/autoscaling/horizontal_controller.h"

namespace gantry::control::autoscaling {

std::vector<MoreController> autoscaling_controllers(Settings settings) {
  return {{.name = "horizontal-pod-autoscaler-controller",
           .account = "horizontal-pod-autoscaler",
           .make = [settings](const ControllerParts& parts) {
             return std::make_unique<HorizontalController>(parts, settings);
           }}};
}

}  // namespace gantry::control::autoscaling
