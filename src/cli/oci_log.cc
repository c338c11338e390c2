// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_log.h"

#include <fcntl.h>
#include <time.h>

#include <boost/json.hpp>
#include <cstdio>

#include "base/text.h"
#include "sys/file.h"

namespace gantry::cli {

std::string time_text() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  ::gmtime_r(&now.tv_sec, &parts);
  char date[32], text[64];
  std::strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text, sizeof(text), "%s.%09ldZ", date, now.tv_nsec);
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
