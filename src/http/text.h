// SPDX-License-Identifier: Apache-2.0
// Small text work that HTTP needs: comparing without ASCII case, trimming.
#pragma once

#include <algorithm>
#include <string_view>

#include "base/text.h"

namespace gantry::http {

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
