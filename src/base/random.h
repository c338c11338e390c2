// SPDX-License-Identifier: Apache-2.0
// Names that nobody guesses and nobody has had (getrandom(2)).
#pragma once

#include <cstddef>
#include <string>

#include "base/result.h"

namespace gantry {

// `bytes` random bytes, at most 256, as twice as many hex digits.
Result<std::string> random_hex(std::size_t bytes);

}  // namespace gantry
