// SPDX-License-Identifier: Apache-2.0
// The lines of a container's log as the CRI has them in files, "TIME STREAM TAG TEXT", made into what clients of
// /containerLogs read. Lines that make no sense are left out. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "api/time.h"
#include "base/result.h"
#include "http/query.h"

namespace gantry::agent {

struct LogOptions {
  bool follow = false;
  bool previous = false;
  bool timestamps = false;
  std::optional<std::uint64_t> tail_lines;
  std::optional<std::uint64_t> limit_bytes;
  std::optional<api::Timestamp> since;
  std::string stream;  // "stdout" or "stderr"; empty: both
};

// From a request's query; `now` is what sinceSeconds counts from. The error names the parameter.
Result<LogOptions> read_log_options(const http::Query& query, std::int64_t now);

struct LogLine {
  std::string_view time;  // as it stands
  std::string_view stream;
  std::string_view text;
  bool is_partial = false;  // the rest of the line comes in the next one
};

// `line` without its end. Nothing when it is not of that form.
std::optional<LogLine> parse_log_line(std::string_view line);

class LogLines {
 public:
  // A line that is longer is left out; no runtime writes one.
  static constexpr std::size_t kMaxLine = 256 << 10;

  explicit LogLines(LogOptions options) : options_(std::move(options)), left_(options_.limit_bytes) {}

  // Bytes of the file, one piece after the other; what clients get of them is added to `out`.
  void feed(std::string_view bytes, std::string& out);
  // Another file comes: what has no end in this one is left out.
  void restart() { begun_.clear(); }
  // limitBytes are reached: nothing more will come.
  bool is_full() const { return left_ && *left_ == 0; }

 private:
  void take(std::string_view line, std::string& out);
  void put(std::string_view bytes, std::string& out);

  LogOptions options_;
  std::optional<std::uint64_t> left_;
  std::string begun_;
  bool skipping_ = false;                 // a line that is too long, up to its end
  bool in_out_ = false, in_err_ = false;  // a line of that stream has begun and not ended
};

}  // namespace gantry::agent
