// SPDX-License-Identifier: Apache-2.0
// Who sees to an object, said with a domain before it: "example.com/controller". Pure; any thread.
#pragma once

#include <string>
#include <string_view>

namespace gantry::api {

// What is wrong, or an empty string, as the checks of names.h.
std::string check_domain_path(std::string_view name);

}  // namespace gantry::api
