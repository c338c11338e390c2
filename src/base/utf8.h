// SPDX-License-Identifier: Apache-2.0
// UTF-8, character by character (Unicode, table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF).
#pragma once

#include <cstddef>
#include <string_view>

namespace gantry {

// Bytes of the character that `text`, which is not empty, begins with: 1 to 4, or 0 when it begins with none.
std::size_t character_size(std::string_view text);

}  // namespace gantry
