// SPDX-License-Identifier: Apache-2.0
// Ranges of addresses as objects name them. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

namespace gantry::api {

// What is wrong with "10.9.8.0/24", or "". Bits below the prefix may be set, as older objects have them.
std::string check_cidr(std::string_view text);

}  // namespace gantry::api
