// SPDX-License-Identifier: Apache-2.0
// RFC 4648, section 5, without padding, as tokens have it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace gantry::http {

std::string base64url(std::string_view bytes);
// Nothing when it is no such text, or another one than base64url() makes of the same bytes.
std::optional<std::string> from_base64url(std::string_view text);

}  // namespace gantry::http
