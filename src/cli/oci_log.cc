// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_log.h"

#include <fcntl.h>

#include <boost/json.hpp>
#include <chrono>
#include <cstdio>

#include "base/text.h"
#include "sys/file.h"

namespace gantry::cli {

std::string time_text() {
  // gmtime_r() reads the time zone's file first.
  auto now = std::chrono::floor<std::chrono::nanoseconds>(std::chrono::system_clock::now());
  auto day = std::chrono::floor<std::chrono::days>(now);
  std::chrono::year_month_day date(day);
  std::chrono::hh_mm_ss time(now - day);
  char text[96];
  std::snprintf(text, sizeof(text), "%04d-%02u-%02uT%02d:%02d:%02d.%09dZ", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<int>(time.hours().count()), static_cast<int>(time.minutes().count()),
                static_cast<int>(time.seconds().count()), static_cast<int>(time.subseconds().count()));
  return text;
}

Result<Log> Log::open(const std::string& path, LogFormat format, bool debugs) {
  if (path.empty()) return Log(OwnFd(), format, debugs);
  auto file = sys::openat(sys::kCwd, path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (!file) return fail_with(std::move(file.error()), "--log");
  return Log(std::move(*file), format, debugs);
}

void Log::write(const char* level, std::string_view message) {
  std::string line;
  if (format_ == LogFormat::kJson) {
    boost::json::object entry;
    entry["level"] = level;
    entry["msg"] = as_utf8(message, 65536);
    entry["time"] = time_text();
    line = boost::json::serialize(entry) + "\n";
  } else {
    line = cat("time=\"", time_text(), "\" level=", level, " msg=", quoted(message, 65536), "\n");
  }
  // One write a line, so that those of several commands in one file do not mix.
  (void)sys::write_all(file_.is_open() ? file_.ref() : FdRef(2), line);
}

}  // namespace gantry::cli
