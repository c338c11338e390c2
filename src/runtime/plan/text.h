// SPDX-License-Identifier: Apache-2.0
// Small things with text that this folder needs: messages, and numbers read strictly. (Debian builds Abseil with a
// string_view of its own, which does not take ours.)
#pragma once

#include <charconv>
#include <concepts>
#include <optional>
#include <string>
#include <string_view>

namespace gantry::runtime {

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

// In double quotes, as a message shows a string that a stranger wrote: what is not printable ASCII as \xNN, at most 64
// bytes.
std::string quoted(std::string_view text);

// Letters A-Z only.
bool equals_ignoring_case(std::string_view a, std::string_view b);
bool starts_ignoring_case(std::string_view text, std::string_view prefix);

// All of `text` is a number of this base: no sign but '-', no space, no overflow.
template <std::integral T>
std::optional<T> parse_number(std::string_view text, int base = 10) {
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Without spaces, tabs and line ends around it.
std::string_view trimmed(std::string_view text);

// The text up to `separator` (or all of it), taken off the front.
std::string_view take_until(std::string_view& text, char separator);

}  // namespace gantry::runtime
