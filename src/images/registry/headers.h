// SPDX-License-Identifier: Apache-2.0
// What the client reads of an HTTP answer's head. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::images {

struct HttpHead {
  int status = 0;
  std::string content_type;  // lower-case, without parameters
  std::string content_digest;
  std::string location;
  std::string retry_after;
  std::string content_range;
  std::string etag;
  std::vector<std::string> challenges;  // each WWW-Authenticate

  // Takes a line "Name: value"; others are passed over. A status line begins anew: what came before was an interim
  // answer.
  void take_line(std::string_view line);
};

// Seconds, or one of HTTP's three forms of a date; nothing when it is neither. Never negative.
std::optional<std::chrono::seconds> parse_retry_after(std::string_view text, std::chrono::system_clock::time_point now);

// Where the part of "bytes 100-199/200" begins.
std::optional<std::uint64_t> parse_range_start(std::string_view text);

}  // namespace gantry::images
