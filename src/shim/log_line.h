// SPDX-License-Identifier: Apache-2.0
// The CRI log format, as kubectl logs and crictl read it: one record a line,
//   2006-01-02T15:04:05.999999999Z stdout F content
// F closes a line of the container, P is a piece of one that goes on. A line is cut into pieces of kMaxLine bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace gantry::shim {

inline constexpr std::size_t kMaxLine = 16384;

// One stream of one container: remembers the begun line between reads, at most kMaxLine bytes of it.
class LogStream {
 public:
  explicit LogStream(const char* name) : name_(name) {}

  // Appends to `out` the records that `bytes`, read at `time` (nanoseconds since 1970), complete.
  void add(std::string_view bytes, std::int64_t time, std::string& out);
  // At the stream's end: what has no newline behind it becomes a piece, as other runtimes do.
  void finish(std::int64_t time, std::string& out);

 private:
  void record(std::string_view piece, bool full, std::int64_t time, std::string& out) const;
  const char* name_;
  std::string begun_;
};

}  // namespace gantry::shim
