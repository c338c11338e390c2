// SPDX-License-Identifier: Apache-2.0
// Requests and responses as values (message.h).

#include "http/message.h"

#include <algorithm>
#include <ranges>

#include "http/text.h"

namespace gantry::http {

std::string_view find_header(const HeaderList& headers, std::string_view name) {
  for (const auto& [key, value] : headers) {
    if (equals_ignore_case(key, name)) return value;
  }
  return {};
}

std::string_view Request::path() const { return std::string_view(target).substr(0, target.find('?')); }

std::string_view Request::query() const {
  std::size_t at = target.find('?');
  return at == std::string::npos ? std::string_view() : std::string_view(target).substr(at + 1);
}

std::string_view Request::header(std::string_view name) const { return find_header(headers, name); }

std::vector<std::string_view> Request::values(std::string_view name) const {
  std::vector<std::string_view> all;
  for (const auto& [key, value] : headers) {
    if (!equals_ignore_case(key, name)) continue;
    for (auto range : std::views::split(value, ',')) {
      std::string_view part = trim_spaces(std::string_view(range.begin(), range.end()));
      if (!part.empty()) all.push_back(part);
    }
  }
  return all;
}

bool Request::has_value(std::string_view name, std::string_view value) const {
  return std::ranges::any_of(values(name), [value](std::string_view have) { return equals_ignore_case(have, value); });
}

Response text_response(int status, std::string_view text) {
  return Response{status, {{"Content-Type", "text/plain; charset=utf-8"}}, cat(text, "\n"), {}};
}

}  // namespace gantry::http
