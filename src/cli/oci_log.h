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
  // Without a path: standard error. Without `debugs`, debug() says nothing.
  static Result<Log> open(const std::string& path, LogFormat format, bool debugs);

  void error(std::string_view message) { write("error", message); }
  void warning(std::string_view message) { write("warning", message); }
  bool debugs() const { return debugs_; }
  void debug(std::string_view message) {
    if (debugs_) write("debug", message);
  }

 private:
  Log(OwnFd file, LogFormat format, bool debugs) : file_(std::move(file)), format_(format), debugs_(debugs) {}
  void write(const char* level, std::string_view message);

  OwnFd file_;  // not open: standard error
  LogFormat format_;
  bool debugs_;
};

// Now, as RFC 3339 has it, in UTC with nanoseconds.
std::string time_text();

}  // namespace gantry::cli
