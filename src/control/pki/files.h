// SPDX-License-Identifier: Apache-2.0
// Keys and certificates in files. Blocking.
#pragma once

#include <string>
#include <string_view>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::control {

// Of at most 1 MiB. is_not_found() when there is none.
Result<std::string> read_pem_file(FdRef dir, const std::string& name);

}  // namespace gantry::control
