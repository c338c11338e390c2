// SPDX-License-Identifier: Apache-2.0
// Signals by name, as images and the API write them: "SIGTERM", "term", "15", "SIGRTMIN+3", "RTMAX-1".
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::runtime {

// kInvalidArgument when it names none of 1..64.
Result<int> parse_signal(std::string_view name);
// 15 -> "SIGTERM"; 37 -> "SIGRTMIN+3".
std::string signal_name(int signal);

}  // namespace gantry::runtime
