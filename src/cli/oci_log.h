// SPDX-License-Identifier: Apache-2.0
// gantry-oci's messages, where other runtimes' callers look for them: in the file of --log, as a line of text or of
// JSON with level, msg and time, and errors on standard error as well.
#pragma once

#include <string>
#include <string_view>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::cli {

enum class LogFormat { kText, kJson };

class Log {
 public:
  // Without a path: standard error.
  static Result<Log> open(const std::string& path, LogFormat format);

  void error(std::string_view message) { write("error", message); }
  void warning(std::string_view message) { write("warning", message); }

 private:
  Log(OwnFd file, LogFormat format) : file_(std::move(file)), format_(format) {}
  void write(const char* level, std::string_view message);

  OwnFd file_;  // not open: standard error
  LogFormat format_;
};

// Now, as RFC 3339 has it, in UTC with nanoseconds.
std::string time_text();

}  // namespace gantry::cli
