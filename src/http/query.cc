// SPDX-License-Identifier: Apache-2.0
#include "http/query.h"

#include <charconv>

#include "base/text.h"

namespace gantry::http {

namespace {

constexpr std::size_t kMaxParameters = 1000;

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::optional<std::string> decode_percent(std::string_view text, bool plus_is_space) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = hex(text[i + 1]);
      const int low = hex(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      decoded += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      decoded += plus_is_space && text[i] == '+' ? ' ' : text[i];
    }
  }
  return decoded;
}

Result<Query> Query::parse(std::string_view text) {
  Query query;
  while (!text.empty()) {
    const std::size_t end = text.find('&');
    const std::string_view pair = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    if (pair.empty()) continue;
    const std::size_t equals = pair.find('=');
    std::optional<std::string> name = decode_percent(pair.substr(0, equals), true);
    std::optional<std::string> value =
        equals == pair.npos ? std::string() : decode_percent(pair.substr(equals + 1), true);
    if (!name || !value) return invalid_argument(cat("the query has a broken escape: ", quoted(pair)));
    if (query.parameters_.size() == kMaxParameters) {
      return invalid_argument(cat("the query has more than ", kMaxParameters, " parameters"));
    }
    query.parameters_.emplace_back(std::move(*name), std::move(*value));
  }
  return query;
}

const std::string* Query::find(std::string_view name) const {
  for (const auto& [key, value] : parameters_) {
    if (key == name) return &value;
  }
  return nullptr;
}

std::string Query::text(std::string_view name) const {
  const std::string* found = find(name);
  return found == nullptr ? std::string() : *found;
}

std::vector<std::string> Query::all(std::string_view name) const {
  std::vector<std::string> values;
  for (const auto& [key, value] : parameters_) {
    if (key == name) values.push_back(value);
  }
  return values;
}

Result<bool> Query::flag(std::string_view name) const {
  const std::string* value = find(name);
  if (value == nullptr) return false;
  const std::string word = lowered(*value);
  if (word.empty() || word == "1" || word == "t" || word == "true") return true;
  if (word == "0" || word == "f" || word == "false") return false;
  return invalid_argument(cat("the parameter ", name, " is ", quoted(*value), "; expected true or false"));
}

Result<std::optional<std::int64_t>> Query::number(std::string_view name) const {
  const std::string* value = find(name);
  if (value == nullptr || value->empty()) return std::nullopt;
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), number);
  if (error != std::errc() || end != value->data() + value->size()) {
    return invalid_argument(cat("the parameter ", name, " is ", quoted(*value), "; expected a whole number"));
  }
  return number;
}

}  // namespace gantry::http
