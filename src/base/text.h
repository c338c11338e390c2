// SPDX-License-Identifier: Apache-2.0
// Sentences out of pieces, and texts from outside made fit to stand in them. (Debian's Abseil is built with a
// string_view of its own, which std::string_view does not convert to; hence not absl::StrCat.)
#pragma once

#include <concepts>
#include <string>
#include <string_view>

namespace gantry {

namespace detail {
inline void append_piece(std::string& out, std::string_view piece) { out += piece; }
inline void append_piece(std::string& out, char piece) { out += piece; }
template <std::integral T>
  requires(!std::same_as<T, char> && !std::same_as<T, bool>)
void append_piece(std::string& out, T piece) {
  out += std::to_string(piece);
}
}  // namespace detail

// The pieces one after the other: strings and characters as they are, whole numbers in decimal.
template <typename... Pieces>
std::string cat(const Pieces&... pieces) {
  std::string out;
  (detail::append_piece(out, pieces), ...);
  return out;
}

// For a message: in double quotes, cut after `most` bytes with "...", and what is no printable ASCII as \xNN.
std::string quoted(std::string_view text, std::size_t most = 64);

// For a message, which must be UTF-8 and may come to a terminal: characters as they are, but controls other than \t and
// \n, and bytes of no character, as \xNN. At most `most` bytes; longer is cut between characters and ends in "...".
std::string as_utf8(std::string_view bytes, std::size_t most = 4096);

// ASCII letters in lower case, all else as it is.
std::string lowered(std::string_view text);

// Without spaces, tabs and line ends around it.
std::string_view trimmed(std::string_view text);

}  // namespace gantry
