// SPDX-License-Identifier: Apache-2.0
// Text of API objects: UTF-8, base64, and quoting what a stranger sent.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/text.h"

namespace gantry::api {

// As base/text.h has it, but UTF-8 stays readable: in double quotes, control characters and bytes that are no UTF-8 as \xNN, cut after `most` bytes with "...".
std::string quoted(std::string_view text, size_t most = 64);

// True if the bytes are UTF-8: no surrogates, no overlong forms.
bool is_utf8(std::string_view bytes);

// Standard base64 with padding, as JSON holds bytes. Decoding skips line breaks and refuses everything else.
std::string encode_base64(std::string_view bytes);
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace gantry::api
