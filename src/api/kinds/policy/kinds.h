// SPDX-License-Identifier: Apache-2.0
// The kinds of policy/v1.
#pragma once

#include "api/kind.h"

namespace gantry::api {

Kind pod_disruption_budget_kind();

}  // namespace gantry::api
