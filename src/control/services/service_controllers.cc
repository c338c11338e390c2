// SPDX-License-Identifier: Apache-2.0
#include "control/services/service_controllers.h"

#include <memory>

#include "control/controllers/controller.h"
#include "control/services/endpoint_mirror.h"
#include "control/services/endpoint_slices.h"
#include "control/services/endpoints.h"
#include "control/services/load_balancers.h"

namespace gantry::control::services {

namespace {

template <typename C>
MoreController controller(std::string name, std::string account) {
  return {.name = std::move(name), .account = std::move(account), .make = [](const ControllerParts& parts) {
            return std::make_unique<C>(parts);
          }};
}

}  // namespace

std::vector<MoreController> service_controllers() {
  return {
      controller<EndpointSliceController>("endpointslice-controller", "endpointslice-controller"),
      controller<EndpointsController>("endpoints-controller", "endpoint-controller"),
      controller<EndpointMirror>("endpointslice-mirroring-controller", "endpointslicemirroring-controller"),
      controller<LoadBalancerController>("service-lb-controller", "service-controller"),
  };
}

}  // namespace gantry::control::services
