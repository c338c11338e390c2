// SPDX-License-Identifier: Apache-2.0
// Names that the server gives: uids and the ends of generated names.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::control {

// "6ba7b810-9dad-41d1-80b4-00c04fd430c8", random (RFC 9562, version 4).
Result<std::string> new_uid();

// `base` and five random characters without vowels or lookalikes, at most 63 in all; of a longer base the front counts.
Result<std::string> generate_name(std::string_view base);

}  // namespace gantry::control
