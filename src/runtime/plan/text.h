// SPDX-License-Identifier: Apache-2.0
// Small things with text that this folder needs: comparing without case, numbers read strictly.
#pragma once

#include <charconv>
#include <concepts>
#include <optional>
#include <string_view>

#include "base/text.h"

namespace gantry::runtime {

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

// The text up to `separator` (or all of it), taken off the front.
std::string_view take_until(std::string_view& text, char separator);

}  // namespace gantry::runtime
