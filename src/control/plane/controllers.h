// SPDX-License-Identifier: Apache-2.0
// The controllers of this program.
#pragma once

#include <string>
#include <vector>

#include "control/autoscaling/settings.h"
#include "control/controllers/manager.h"

namespace gantry::control {

namespace scheduling {
class SchedulerMetrics;
}

// Those of other libraries than the manager's own; the scheduler among them, which has no name, if there is something
// that counts what it does, which must outlive it.
std::vector<MoreController> more_controllers(scheduling::SchedulerMetrics* scheduler,
                                             autoscaling::Settings autoscaling = {});

// The names of all of them, sorted: what --controllers may name.
const std::vector<std::string>& controller_names();

}  // namespace gantry::control
