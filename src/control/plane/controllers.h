// SPDX-License-Identifier: Apache-2.0
// The controllers of this program.
#pragma once

#include <string>
#include <vector>

#include "control/autoscaling/settings.h"
#include "control/controllers/manager.h"

namespace gantry::control {

// Those of other libraries than the manager's own; the scheduler among them, which has no name, if it is wanted.
std::vector<MoreController> more_controllers(bool with_scheduler, autoscaling::Settings autoscaling = {});

// The names of all of them, sorted: what --controllers may name.
const std::vector<std::string>& controller_names();

}  // namespace gantry::control
