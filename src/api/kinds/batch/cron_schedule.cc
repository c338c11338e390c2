// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/batch/cron_schedule.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <chrono>
#include <optional>
#include <span>
#include <vector>

#include "base/duration.h"
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

struct Range {
  std::uint64_t bits = 0;
  bool is_any = false;
};

// "*", "5", "1-5", each with "/2"; "5/2" goes on to the end.
std::optional<Range> parse_range(std::string_view text, const Field& field) {
  const std::vector<std::string_view> steps = split(text, "/");
  if (steps.size() > 2) return std::nullopt;
  const int step = steps.size() == 2 ? number(steps[1]).value_or(0) : 1;
  if (step == 0) return std::nullopt;
  const std::vector<std::string_view> ends = split(steps[0], "-");
  const bool is_any = ends[0] == "*" || ends[0] == "?";
  if (ends.size() > (is_any ? 1 : 2)) return std::nullopt;
  const std::optional<int> first = is_any ? field.least : number_or_name(ends[0], field);
  std::optional<int> last = ends.size() == 2 ? number_or_name(ends[1], field) : first;
  if (is_any || (ends.size() == 1 && steps.size() == 2)) last = field.most;
  if (!first || !last || *first < field.least || *last > field.most || *first > *last) return std::nullopt;
  Range range{.is_any = is_any && step == 1};
  for (int n = *first; n <= *last; n += std::min(step, field.most + 1)) range.bits |= std::uint64_t{1} << n;
  return range;
}

constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kNamed = {{{"@yearly", "0 0 1 1 *"},
                                                                                  {"@annually", "0 0 1 1 *"},
                                                                                  {"@monthly", "0 0 1 * *"},
                                                                                  {"@weekly", "0 0 * * 0"},
                                                                                  {"@daily", "0 0 * * *"},
                                                                                  {"@midnight", "0 0 * * *"},
                                                                                  {"@hourly", "0 * * * *"}}};

}  // namespace

Result<CronSchedule> parse_cron_schedule(std::string_view text) {
  constexpr std::string_view kEvery = "@every ";
  if (text.starts_with(kEvery)) {
    const Result<std::chrono::milliseconds> every = parse_duration(text.substr(kEvery.size()));
    if (!every) return invalid_argument("must have a duration after @every, such as 1h30m");
    // At least a second, as cron has it.
    return CronSchedule{.every = std::max<std::int64_t>(std::chrono::floor<std::chrono::seconds>(*every).count(), 1)};
  }
  if (text.starts_with('@')) {
    const auto found = std::ranges::find(kNamed, text, [](const auto& named) { return named.first; });
    if (found == kNamed.end()) return invalid_argument("is not a name that cron knows, such as @daily");
    text = found->second;
  }
  std::vector<std::string_view> fields = split(text, " \t");
  std::erase(fields, "");
  if (fields.size() != kFields.size()) {
    return invalid_argument("must have the five fields of cron, or be a name such as @daily");
  }
  std::array<Range, kFields.size()> parsed;
  for (size_t i = 0; i < fields.size(); ++i) {
    for (const std::string_view part : split(fields[i], ",")) {
      if (part.empty() && fields[i] != ",") continue;
      const std::optional<Range> range = parse_range(part, kFields[i]);
      if (!range) {
        return invalid_argument(cat(quoted(part), " is no ", kFields[i].what, ": ", kFields[i].least, " to ",
                                    kFields[i].most, ", a range, * or steps of them"));
      }
      parsed[i].bits |= range->bits;
      parsed[i].is_any |= range->is_any;
    }
  }
  return CronSchedule{.minutes = parsed[0].bits,
                      .hours = parsed[1].bits,
                      .days = parsed[2].bits,
                      .months = parsed[3].bits,
                      .weekdays = parsed[4].bits,
                      .any_day = parsed[2].is_any,
                      .any_weekday = parsed[4].is_any};
}

std::string check_cron_schedule(std::string_view text) {
  const Result<CronSchedule> parsed = parse_cron_schedule(text);
  return parsed ? std::string() : parsed.error().message();
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
