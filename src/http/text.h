// SPDX-License-Identifier: Apache-2.0
// Small text work that HTTP needs: joining, comparing without ASCII case. (Debian's Abseil has a string_view of its
// own, to which ours does not convert.)
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <type_traits>

namespace gantry::http {

namespace detail {
inline void append(std::string& out, std::string_view part) { out.append(part); }
template <typename T>
  requires std::is_integral_v<T>
void append(std::string& out, T part) {
  out.append(std::to_string(part));
}
}  // namespace detail

// Strings and integers, one after the other.
template <typename... Parts>
std::string cat(const Parts&... parts) {
  std::string out;
  (detail::append(out, parts), ...);
  return out;
}

constexpr char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

inline bool equals_ignore_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, ascii_lower, ascii_lower);
}

inline std::string_view trim_spaces(std::string_view text) {
  auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

}  // namespace gantry::http
