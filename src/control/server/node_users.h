// SPDX-License-Identifier: Apache-2.0
// How nodes are called as users of the API: system:node:NAME, of the group system:nodes.
#pragma once

#include <string_view>

namespace gantry::control {

inline constexpr std::string_view kNodeUserPrefix = "system:node:";
inline constexpr std::string_view kNodesGroup = "system:nodes";

}  // namespace gantry::control
