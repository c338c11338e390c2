// SPDX-License-Identifier: Apache-2.0
// What validate.cc and validate_container.cc share. Includes protobuf's headers: not for other headers.
#pragma once

#include <string_view>

#include "cri/runtime/v1/api.pb.h"
#include "cri/validate.h"

namespace gantry::cri {

using StringMap = google::protobuf::Map<std::string, std::string>;

// At most `limit` bytes and no control characters.
Status check_text(std::string_view text, std::string_view field, std::size_t limit);
// The same for a name: not empty, no slash.
Status check_object_name(std::string_view text, std::string_view field);
// Labels or annotations.
Status check_string_map(const StringMap& map, std::string_view field);
Status check_selinux(const v1::SELinuxOption& option, std::string_view field);

}  // namespace gantry::cri
