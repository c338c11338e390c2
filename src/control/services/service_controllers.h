// SPDX-License-Identifier: Apache-2.0
// The controllers of this folder, each as the service account that upstream's asks as.
#pragma once

#include <vector>

#include "control/controllers/manager.h"

namespace gantry::control::services {

std::vector<MoreController> service_controllers();

}  // namespace gantry::control::services
