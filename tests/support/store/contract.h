// SPDX-License-Identifier: Apache-2.0
// What every store does, call by call (control/store/store.h). Blocks; answers what did not hold.
#pragma once

#include <functional>
#include <string>

#include "control/store/store.h"

namespace gantry::test {

// Calls `check(holds, what)` for each thing that is looked at. Keys beneath `prefix` are used, and none is there
// before.
void check_contract(control::Store& store, Loop& loop, const std::string& prefix,
                    const std::function<void(bool, const std::string&)>& check);

}  // namespace gantry::test
