// SPDX-License-Identifier: Apache-2.0
// What an answer means that is not the one that was hoped for. Internal to src/images.
#pragma once

#include <string_view>

#include "base/result.h"
#include "images/registry/http.h"

namespace gantry::images {

// Its status and, when the registry says it as the spec has it, why. kUnavailable: it may be better the next time.
std::unexpected<Error> refused(const HttpAnswer& answer, std::string_view expected);

}  // namespace gantry::images
