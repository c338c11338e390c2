// SPDX-License-Identifier: Apache-2.0
// Which objects within objects say what they are.
#pragma once

#include <string_view>

namespace gantry::api {

// By the name of the list that holds it. A set's templates of claims say kind and apiVersion, as upstream writes them,
// whatever was sent; items of a list do not.
inline bool says_type(std::string_view list_field) { return list_field == "volume_claim_templates"; }

}  // namespace gantry::api
