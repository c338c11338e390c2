// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/workload_controllers.h"

#include "control/controllers/controller.h"

namespace gantry::control::workloads {

std::vector<MoreController> workload_controllers() { return {}; }

}  // namespace gantry::control::workloads
