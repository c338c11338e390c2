// SPDX-License-Identifier: Apache-2.0
#include "images/registry/headers.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/text.h"

namespace gantry::images {
namespace {

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

void HttpHead::take_line(std::string_view line) {
  line = trimmed(line);
  if (line.starts_with("HTTP/")) {
    *this = {};
    std::size_t space = line.find(' ');
    if (space != std::string_view::npos) {
      status = static_cast<int>(number(line.substr(space + 1, 3)).value_or(0));
    }
    return;
  }
  std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return;
  const std::string name = lowered(line.substr(0, colon));
  const std::string value(trimmed(line.substr(colon + 1)));
  if (name == "content-type") content_type = lowered(trimmed(std::string_view(value).substr(0, value.find(';'))));
  if (name == "docker-content-digest") content_digest = value;
  if (name == "location") location = value;
  if (name == "retry-after") retry_after = value;
  if (name == "content-range") content_range = value;
  if (name == "etag") etag = value;
  if (name == "www-authenticate") challenges.push_back(value);
}

std::optional<std::chrono::seconds> parse_retry_after(std::string_view text,
                                                      std::chrono::system_clock::time_point now) {
  constexpr std::uint64_t kYear = 365ULL * 24 * 3600;  // what is longer is not meant
  if (auto seconds = number(text)) return std::chrono::seconds(std::min(*seconds, kYear));
  if (text.size() > 64) return std::nullopt;
  std::time_t date = ::curl_getdate(std::string(text).c_str(), nullptr);
  if (date < 0) return std::nullopt;
  // In whole seconds: the clock's nanoseconds end in the year 2262.
  std::time_t left = date - std::chrono::system_clock::to_time_t(now);
  return std::chrono::seconds(std::clamp<std::time_t>(left, 0, kYear));
}

std::optional<std::uint64_t> parse_range_start(std::string_view text) {
  constexpr std::string_view kUnit = "bytes ";
  if (!text.starts_with(kUnit)) return std::nullopt;
  text.remove_prefix(kUnit.size());
  return number(text.substr(0, text.find('-')));
}

}  // namespace gantry::images
