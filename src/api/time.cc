// SPDX-License-Identifier: Apache-2.0
#include "api/time.h"

#include <chrono>
#include <optional>

#include "api/text.h"

namespace gantry::api {

namespace {

constexpr int64_t kDay = 86400;
constexpr int64_t kFirst = -62167219200;  // 0000-01-01T00:00:00Z
constexpr int64_t kLast = 253402300799;   // 9999-12-31T23:59:59Z

class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  // Exactly `count` digits.
  std::optional<int> digits(size_t count) {
    if (rest_.size() < count) return std::nullopt;
    int value = 0;
    for (size_t i = 0; i < count; ++i) {
      if (rest_[i] < '0' || rest_[i] > '9') return std::nullopt;
      value = value * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(count);
    return value;
  }
  bool take(char c) {
    if (rest_.empty() || rest_[0] != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  // One to nine digits of a fraction, as nanoseconds.
  std::optional<int32_t> fraction() {
    int32_t value = 0;
    int count = 0;
    while (!rest_.empty() && rest_[0] >= '0' && rest_[0] <= '9') {
      if (++count > 9) return std::nullopt;
      value = value * 10 + (rest_[0] - '0');
      rest_.remove_prefix(1);
    }
    if (count == 0) return std::nullopt;
    for (; count < 9; ++count) value *= 10;
    return value;
  }
  bool at_end() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

std::optional<int64_t> read_date(Reader& in) {
  const auto year = in.digits(4);
  if (!year || !in.take('-')) return std::nullopt;
  const auto month = in.digits(2);
  if (!month || !in.take('-')) return std::nullopt;
  const auto day = in.digits(2);
  if (!day) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date).time_since_epoch().count() * kDay;
}

std::optional<int64_t> read_clock(Reader& in) {
  const auto hour = in.digits(2);
  if (!hour || !in.take(':')) return std::nullopt;
  const auto minute = in.digits(2);
  if (!minute || !in.take(':')) return std::nullopt;
  const auto second = in.digits(2);
  if (!second || *hour > 23 || *minute > 59 || *second > 59) return std::nullopt;
  return *hour * 3600 + *minute * 60 + *second;
}

// Seconds east of UTC.
std::optional<int64_t> read_offset(Reader& in) {
  if (in.take('Z')) return 0;
  const bool west = in.take('-');
  if (!west && !in.take('+')) return std::nullopt;
  const auto hour = in.digits(2);
  if (!hour || !in.take(':')) return std::nullopt;
  const auto minute = in.digits(2);
  if (!minute || *hour > 23 || *minute > 59) return std::nullopt;
  const int64_t offset = *hour * 3600 + *minute * 60;
  return west ? -offset : offset;
}

std::optional<Timestamp> read_time(std::string_view text) {
  Reader in(text);
  const auto date = read_date(in);
  if (!date || !in.take('T')) return std::nullopt;
  const auto clock = read_clock(in);
  if (!clock) return std::nullopt;
  Timestamp time;
  if (in.take('.')) {
    const auto nanos = in.fraction();
    if (!nanos) return std::nullopt;
    time.nanos = *nanos;
  }
  const auto offset = read_offset(in);
  if (!offset || !in.at_end()) return std::nullopt;
  time.seconds = *date + *clock - *offset;
  if (!is_representable(time.seconds)) return std::nullopt;
  return time;
}

std::string padded(int64_t value, size_t width) {
  std::string digits = cat(value);
  if (digits.size() < width) digits.insert(0, width - digits.size(), '0');
  return digits;
}

std::string format(int64_t seconds, std::string_view fraction) {
  const std::chrono::sys_seconds time{std::chrono::seconds(seconds)};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const int64_t clock = (time - day).count();
  return cat(padded(static_cast<int>(date.year()), 4), '-', padded(static_cast<unsigned>(date.month()), 2), '-',
             padded(static_cast<unsigned>(date.day()), 2), 'T', padded(clock / 3600, 2), ':',
             padded(clock / 60 % 60, 2), ':', padded(clock % 60, 2), fraction, 'Z');
}

}  // namespace

Result<Timestamp> parse_rfc3339(std::string_view text) {
  if (const auto time = read_time(text)) return *time;
  return invalid_argument(cat(quoted(text), " is not a time: expected RFC 3339, such as 2026-01-02T03:04:05Z"));
}

std::string format_rfc3339(int64_t seconds) { return format(seconds, ""); }

std::string format_rfc3339_micro(Timestamp time) {
  return format(time.seconds, cat('.', padded(time.nanos / 1000, 6)));
}

bool is_representable(int64_t seconds) { return seconds >= kFirst && seconds <= kLast; }

}  // namespace gantry::api
