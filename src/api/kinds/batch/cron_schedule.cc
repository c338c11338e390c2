// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/batch/cron_schedule.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <optional>
#include <span>
#include <vector>

#include "base/text.h"

namespace gantry::api {

namespace {

constexpr std::array<std::string_view, 12> kMonths = {"jan", "feb", "mar", "apr", "may", "jun",
                                                      "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> kDays = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

struct Field {
  std::string_view what;
  int least;
  int most;
  std::span<const std::string_view> names;  // of the numbers from `least` on
};
constexpr std::array<Field, 5> kFields = {{{"minute", 0, 59, {}},
                                           {"hour", 0, 23, {}},
                                           {"day of month", 1, 31, {}},
                                           {"month", 1, 12, kMonths},
                                           {"day of week", 0, 6, kDays}}};

std::vector<std::string_view> split(std::string_view text, std::string_view between) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find_first_of(between, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::optional<int> number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

std::optional<int> number_or_name(std::string_view text, const Field& field) {
  const std::string low = lowered(text);
  const auto found = std::ranges::find(field.names, low);
  if (found != field.names.end()) return field.least + static_cast<int>(found - field.names.begin());
  return number(text);
}

// "*", "5", "1-5", each with "/2".
bool is_range(std::string_view text, const Field& field) {
  const std::vector<std::string_view> steps = split(text, "/");
  if (steps.size() > 2) return false;
  if (steps.size() == 2 && number(steps[1]).value_or(0) == 0) return false;
  const std::vector<std::string_view> ends = split(steps[0], "-");
  if (ends[0] == "*" || ends[0] == "?") return ends.size() == 1;
  if (ends.size() > 2) return false;
  const std::optional<int> first = number_or_name(ends[0], field);
  const std::optional<int> last = ends.size() == 2 ? number_or_name(ends[1], field) : first;
  return first && last && *first >= field.least && *last <= field.most && *first <= *last;
}

// "1h30m": numbers with a unit each.
bool is_duration(std::string_view text) {
  if (text.empty()) return false;
  while (!text.empty()) {
    const size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
    const size_t unit = std::min(text.find_first_of("0123456789.", digits), text.size());
    static constexpr std::array<std::string_view, 6> kUnits = {"ns", "us", "ms", "s", "m", "h"};
    if (digits == 0 || std::ranges::find(kUnits, text.substr(digits, unit - digits)) == kUnits.end()) return false;
    text.remove_prefix(unit);
  }
  return true;
}

}  // namespace

std::string check_cron_schedule(std::string_view text) {
  constexpr std::string_view kEvery = "@every ";
  if (text.starts_with(kEvery)) {
    return is_duration(text.substr(kEvery.size())) ? "" : "must have a duration after @every, such as 1h30m";
  }
  if (text.starts_with('@')) {
    static constexpr std::array<std::string_view, 7> kNames = {"@yearly", "@annually", "@monthly", "@weekly",
                                                               "@daily",  "@midnight", "@hourly"};
    return std::ranges::find(kNames, text) != kNames.end() ? "" : "is not a name that cron knows, such as @daily";
  }
  std::vector<std::string_view> fields = split(text, " \t");
  std::erase(fields, "");
  if (fields.size() != kFields.size()) return "must have the five fields of cron, or be a name such as @daily";
  for (size_t i = 0; i < fields.size(); ++i) {
    for (const std::string_view range : split(fields[i], ",")) {
      if (range.empty() && fields[i] != ",") continue;
      if (!is_range(range, kFields[i])) {
        return cat(quoted(range), " is no ", kFields[i].what, ": ", kFields[i].least, " to ", kFields[i].most,
                   ", a range, * or steps of them");
      }
    }
  }
  return "";
}

std::string check_time_zone(std::string_view name) {
  if (lowered(name) == "local") return "must be a name of the time zone database";
  for (const std::string_view part : split(name, "/")) {
    const bool is_wrong = part.empty() || part == "." || part == ".." || part.front() == '-' ||
                          !std::ranges::all_of(part, [](unsigned char c) {
                            return std::isalnum(c) != 0 || std::string_view("._+-").contains(static_cast<char>(c));
                          });
    if (is_wrong) return "must be a name of the time zone database";
  }
  return "";
}

}  // namespace gantry::api
