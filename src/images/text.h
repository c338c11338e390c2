// SPDX-License-Identifier: Apache-2.0
// Names from outside made fit to stand in sentences, and paths taken apart. Internal to src/images.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"

namespace gantry::images {

// quoted(), with room for a path: at most 300 bytes of it.
std::string in_quotes(std::string_view text);

// "1.05MB", three digits, as crictl shows it.
std::string human_size(std::uint64_t bytes);

// The non-empty pieces between the slashes of a path.
std::vector<std::string_view> components(std::string_view path);

}  // namespace gantry::images
