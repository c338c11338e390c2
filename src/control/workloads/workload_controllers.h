// SPDX-License-Identifier: Apache-2.0
// The controllers of this library, for the manager.
#pragma once

#include <vector>

#include "control/controllers/manager.h"

namespace gantry::control::workloads {

std::vector<MoreController> workload_controllers();

}  // namespace gantry::control::workloads
