// SPDX-License-Identifier: Apache-2.0
// What a request says beside its object, in its query or as DeleteOptions, when it cannot be so. Pure.
#pragma once

#include <string_view>

#include "control/server/failure.h"

namespace gantry::control {

// Refused as a field of an object is, "CreateOptions" being its kind. Precondition: there are problems.
Failure invalid_options(std::string_view kind, const api::FieldProblems& problems);

}  // namespace gantry::control
