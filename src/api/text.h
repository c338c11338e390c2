// SPDX-License-Identifier: Apache-2.0
// Small text helpers of the API library: joining pieces into messages, and quoting what a stranger sent.
// (Debian's Abseil is built with a string_view of its own, which std::string_view does not convert to.)
#pragma once

#include <charconv>
#include <concepts>
#include <optional>
#include <string>
#include <string_view>

namespace gantry::api {

inline void append(std::string& out, std::string_view piece) { out += piece; }
inline void append(std::string& out, char piece) { out += piece; }
template <std::integral T>
  requires(!std::same_as<T, char> && !std::same_as<T, bool>)
void append(std::string& out, T piece) {
  char digits[24];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, piece).ptr);
}

// The pieces (strings, characters, integers) one after the other.
template <typename... Pieces>
std::string cat(const Pieces&... pieces) {
  std::string out;
  (append(out, pieces), ...);
  return out;
}

// In double quotes, control characters and bytes that are no UTF-8 as \xNN, cut after `most` bytes with "...".
std::string quoted(std::string_view text, size_t most = 64);

// True if the bytes are UTF-8: no surrogates, no overlong forms.
bool is_utf8(std::string_view bytes);

// Standard base64 with padding, as JSON holds bytes. Decoding skips line breaks and refuses everything else.
std::string encode_base64(std::string_view bytes);
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace gantry::api
