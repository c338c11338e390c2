// SPDX-License-Identifier: Apache-2.0
#include "base/duration.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <utility>

#include "base/text.h"

namespace gantry {

using std::chrono::milliseconds;

namespace {
constexpr double kLongest = 1e12;  // thirty years, which nanoseconds can count, too
}

Result<milliseconds> parse_duration(std::string_view text) {
  const auto bad = [&] { return invalid_argument(cat(quoted(text), ", expected a duration such as \"1m30s\"")); };
  milliseconds total(0);
  std::string_view rest = text;
  if (rest.empty() || rest.size() > 64) return bad();
  if (rest == "0") return total;
  while (!rest.empty()) {
    double number = 0;
    auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number, std::chars_format::fixed);
    if (error != std::errc() || !(number >= 0 && number <= 1e9)) return bad();
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    const std::string_view unit = rest.substr(0, std::min(rest.find_first_of("0123456789."), rest.size()));
    rest.remove_prefix(unit.size());
    double factor = 0;
    for (const auto& [name, milliseconds_each] :
         {std::pair("h", 3600e3), std::pair("m", 60e3), std::pair("s", 1e3), std::pair("ms", 1.0),
          std::pair("us", 1e-3), std::pair("ns", 1e-6)}) {
      if (unit == name) factor = milliseconds_each;
    }
    if (factor == 0) return bad();
    const double sum = static_cast<double>(total.count()) + number * factor;
    total = milliseconds(static_cast<std::int64_t>(std::min(sum, kLongest)));
  }
  return total;
}

std::string format_duration(std::chrono::nanoseconds duration) {
  const std::int64_t all = std::max<std::int64_t>(std::chrono::duration_cast<milliseconds>(duration).count(), 0);
  if (all > 0 && all < 1000) return cat(all, "ms");
  const std::int64_t seconds = all / 1000;
  std::string text;
  if (seconds >= 3600) text = cat(seconds / 3600, "h");
  if (seconds >= 60) text += cat(seconds / 60 % 60, "m");
  text += cat(seconds % 60);
  if (const std::int64_t rest = all % 1000; rest != 0) {
    std::string digits = cat(1000 + rest).substr(1);
    digits.erase(digits.find_last_not_of('0') + 1);
    text += cat(".", digits);
  }
  return text + "s";
}

}  // namespace gantry
