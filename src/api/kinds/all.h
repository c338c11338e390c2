// SPDX-License-Identifier: Apache-2.0
// Every kind that Gantry serves.
#pragma once

#include <vector>

#include "api/kind.h"

namespace gantry::api {

// In the order of discovery: groups as upstream orders them, kinds by name.
std::vector<Kind> all_kinds();

}  // namespace gantry::api
