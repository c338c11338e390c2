// SPDX-License-Identifier: Apache-2.0
// One answer of several authorizers, as ApiServer takes it: system:masters may do everything; else the first that
// allows or denies decides.
#pragma once

#include <vector>

#include "control/server/access.h"

namespace gantry::control {

Task<Authorizer::Answer> decide(Loop& here, const std::vector<Authorizer*>& authorizers, const AccessRequest& request);

}  // namespace gantry::control
