// SPDX-License-Identifier: Apache-2.0
// What this folder does with text beside base/text.h.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"

namespace gantry::cri {

// The pieces between the separators, empty ones too.
std::vector<std::string_view> split(std::string_view text, char separator);
std::string_view without_prefix(std::string_view text, std::string_view prefix);
std::string_view without_suffix(std::string_view text, std::string_view suffix);
std::string replaced(std::string_view text, std::string_view from, std::string_view to);
// Letters, digits, and the characters of `more`.
bool is_plain(std::string_view text, std::string_view more);

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
