// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/time_zone.h"

#include <absl/time/time.h>

#include "api/kinds/batch/cron_schedule.h"
#include "base/text.h"
#include "sys/file.h"

namespace gantry::control::workloads {

namespace {

constexpr char kDatabase[] = "/usr/share/zoneinfo";
constexpr off_t kLargest = 1 << 20;

// Whoever names a zone names no other file, and no name that is remembered for nothing.
bool is_there(const std::string& name) {
  if (!api::check_time_zone(name).empty()) return false;
  const Result<DirFd> root = sys::open_dir(sys::kCwd, kDatabase);
  if (!root) return false;
  const Result<OwnFd> file =
      sys::openat2(*root, name.c_str(), O_PATH, sys::Resolve::kBeneath | sys::Resolve::kNoMagicLinks);
  if (!file) return false;
  const Result<struct stat> is = sys::fstat(*file);
  return is && S_ISREG(is->st_mode) && is->st_size <= kLargest;
}

}  // namespace

struct TimeZone::Zone {
  absl::TimeZone zone = absl::UTCTimeZone();
};

TimeZone::TimeZone() : zone_(std::make_shared<const Zone>()) {}

Result<TimeZone> TimeZone::load(const std::string& name) {
  TimeZone made;
  Zone zone;
  const bool loaded =
      name == "UTC" || (is_there(name) && absl::LoadTimeZone(absl::string_view(name.data(), name.size()), &zone.zone));
  if (!loaded) return not_found(cat("unknown time zone ", name));
  made.zone_ = std::make_shared<const Zone>(zone);
  return made;
}

WallTime TimeZone::at(std::int64_t time) const {
  const absl::CivilSecond wall = zone_->zone.At(absl::FromUnixSeconds(time)).cs;
  return {.year = wall.year(),
          .month = wall.month(),
          .day = wall.day(),
          .hour = wall.hour(),
          .minute = wall.minute(),
          .second = wall.second(),
          .weekday = (static_cast<int>(absl::GetWeekday(wall)) + 1) % 7};
}

std::int64_t TimeZone::start_of(std::int64_t year, int month, int day) const {
  const absl::TimeZone::TimeInfo begin = zone_->zone.At(absl::CivilSecond(year, month, day));
  // Where clocks go forward over midnight the day begins when they do.
  const bool is_skipped = begin.kind == absl::TimeZone::TimeInfo::SKIPPED;
  return absl::ToUnixSeconds(is_skipped ? begin.trans : begin.pre);
}

std::string TimeZone::format(std::int64_t time) const {
  std::string text = absl::FormatTime(absl::RFC3339_sec, absl::FromUnixSeconds(time), zone_->zone);
  if (text.ends_with("+00:00")) text.replace(text.size() - 6, 6, "Z");
  return text;
}

}  // namespace gantry::control::workloads
