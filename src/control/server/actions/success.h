// SPDX-License-Identifier: Apache-2.0
// What an action answers that has nothing else to say.
#pragma once

#include <memory>

#include "api/kind.h"

namespace gantry::control {

// meta/v1 Status: Success, 201.
std::unique_ptr<api::Message> success();

}  // namespace gantry::control
