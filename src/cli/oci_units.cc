// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_units.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <string>
#include <utility>

#include "base/text.h"

namespace gantry::cli {
namespace {

constexpr std::string_view kDecimal = "0123456789.";
// What fits 64 bits with a sign.
constexpr double kMost = 9e18;

// Takes digits and a point off the front.
std::optional<double> take_number(std::string_view& text) {
  std::string_view digits = text.substr(0, text.find_first_not_of(kDecimal));
  double value = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, std::chars_format::fixed);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  text.remove_prefix(digits.size());
  return value;
}

}  // namespace

std::optional<std::int64_t> parse_bytes(std::string_view text) {
  if (text == "-1") return -1;
  auto number = take_number(text);
  if (!number) return std::nullopt;
  std::string unit = lowered(trimmed(text));
  constexpr std::string_view kUnits = "kmgtp";
  double factor = 1;
  std::size_t power = unit.empty() ? kUnits.npos : kUnits.find(unit[0]);
  if (power != kUnits.npos) {
    for (std::size_t i = 0; i <= power; ++i) factor *= 1024;
    unit.erase(0, 1);
    if (unit.starts_with("i")) unit.erase(0, 1);
  }
  if (unit == "b") unit.clear();
  if (!unit.empty() || *number * factor > kMost) return std::nullopt;
  return static_cast<std::int64_t>(*number * factor);
}

std::optional<std::chrono::nanoseconds> parse_interval(std::string_view text) {
  constexpr std::pair<std::string_view, double> kUnits[] = {{"ns", 1},  {"us", 1e3}, {"µs", 1e3},  {"ms", 1e6},
                                                            {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};
  double sum = 0;
  while (!text.empty()) {
    auto number = take_number(text);
    std::string_view word = text.substr(0, text.find_first_of(kDecimal));
    auto unit = std::ranges::find(kUnits, word, [](const auto& each) { return each.first; });
    if (!number || unit == std::end(kUnits)) return std::nullopt;
    text.remove_prefix(word.size());
    sum += *number * unit->second;
  }
  if (sum < 1 || sum > kMost) return std::nullopt;
  return std::chrono::nanoseconds(static_cast<std::int64_t>(sum));
}

}  // namespace gantry::cli
