// SPDX-License-Identifier: Apache-2.0
// What a token server answers. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::images {

inline constexpr std::size_t kMaxTokenAnswer = 256 << 10;

// The field token, or access_token, of a JSON object: one that HTTP can send.
Result<std::string> token_in(std::string_view answer);

}  // namespace gantry::images
