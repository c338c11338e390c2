// SPDX-License-Identifier: Apache-2.0
// gethostname(2): this machine's name, in the caller's UTS namespace; "" when it has none. Any thread.
#pragma once

#include <string>

namespace gantry::sys {

std::string hostname();

}  // namespace gantry::sys
