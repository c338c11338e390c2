// SPDX-License-Identifier: Apache-2.0
// Sentences out of pieces, and texts from outside made fit to stand in them. (Debian's Abseil is built with a string_view of its
// own, which std::string_view does not convert to.)
#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::cri {

inline void append_text(std::string& out, std::string_view text) { out += text; }
template <std::integral T>
  requires(!std::same_as<T, char> && !std::same_as<T, bool>)
void append_text(std::string& out, T number) {
  out += std::to_string(number);
}
// "a", 1, "b" -> "a1b".
template <typename... Parts>
std::string cat(const Parts&... parts) {
  std::string out;
  (append_text(out, parts), ...);
  return out;
}

// For a message: in double quotes, cut at 64 bytes, with what is no printable ASCII as \xNN.
std::string quoted(std::string_view text);

// The pieces between the separators, empty ones too.
std::vector<std::string_view> split(std::string_view text, char separator);
std::string_view without_prefix(std::string_view text, std::string_view prefix);
std::string_view without_suffix(std::string_view text, std::string_view suffix);
// Without spaces, tabs and line ends around it.
std::string_view trimmed(std::string_view text);
std::string replaced(std::string_view text, std::string_view from, std::string_view to);
// Letters, digits, and the characters of `more`.
bool is_plain(std::string_view text, std::string_view more);
std::string to_hex(std::string_view bytes);

template <typename List>
std::string joined(const List& texts, std::string_view separator) {
  std::string out;
  for (const auto& text : texts) {
    if (!out.empty()) out += separator;
    out += text;
  }
  return out;
}

}  // namespace gantry::cri
