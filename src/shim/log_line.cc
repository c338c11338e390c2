// SPDX-License-Identifier: Apache-2.0
#include "shim/log_line.h"

#include <cstdio>
#include <ctime>

namespace gantry::shim {

void LogStream::record(std::string_view piece, bool full, std::int64_t time, std::string& out) const {
  constexpr std::int64_t kSecond = 1'000'000'000;
  time_t seconds = time / kSecond;
  tm parts;
  ::gmtime_r(&seconds, &parts);
  char prefix[64];
  int size = std::snprintf(prefix, sizeof(prefix), "%04d-%02d-%02dT%02d:%02d:%02d.%09lldZ %s %c ", parts.tm_year + 1900,
                           parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                           static_cast<long long>(time % kSecond), name_, full ? 'F' : 'P');
  out.append(prefix, static_cast<std::size_t>(size));
  out.append(piece);
  out += '\n';
}

void LogStream::add(std::string_view bytes, std::int64_t time, std::string& out) {
  while (!bytes.empty()) {
    std::size_t newline = bytes.find('\n');
    std::size_t take = newline == std::string_view::npos ? bytes.size() : newline;
    // A line of exactly kMaxLine bytes is one full record; a piece is cut when a byte more is there.
    std::size_t room = kMaxLine - begun_.size();
    if (take > room) {
      begun_.append(bytes.substr(0, room));
      bytes.remove_prefix(room);
      record(begun_, false, time, out);
      begun_.clear();
      continue;
    }
    if (newline == std::string_view::npos) {
      begun_.append(bytes);
      return;
    }
    if (begun_.empty()) {
      record(bytes.substr(0, take), true, time, out);
    } else {
      begun_.append(bytes.substr(0, take));
      record(begun_, true, time, out);
      begun_.clear();
    }
    bytes.remove_prefix(take + 1);
  }
}

void LogStream::finish(std::int64_t time, std::string& out) {
  if (begun_.empty()) return;
  record(begun_, false, time, out);
  begun_.clear();
}

}  // namespace gantry::shim
