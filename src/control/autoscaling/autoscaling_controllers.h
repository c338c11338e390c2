// SPDX-License-Identifier: Apache-2.0
// The controllers of this library, for the manager.
#pragma once

#include <vector>

#include "control/autoscaling/settings.h"
#include "control/controllers/manager.h"

namespace gantry::control::autoscaling {

std::vector<MoreController> autoscaling_controllers(Settings settings);

}  // namespace gantry::control::autoscaling
