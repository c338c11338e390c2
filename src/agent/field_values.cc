// SPDX-License-Identifier: Apache-2.0
#include "agent/field_values.h"

#include "api/ip_network.h"
#include "api/quantity.h"
#include "base/duration.h"
#include "base/text.h"

namespace gantry::agent {

using api::Value;

namespace {

constexpr std::int64_t kLastPort = 65535;

}  // namespace

std::unexpected<Error> wrong_field(std::string_view field, std::string_view problem) {
  return invalid_argument(cat(field, ": ", problem));
}

Status take_number(const Value& value, std::string_view field, std::int64_t least, std::int64_t most,
                   std::int64_t* out) {
  const auto number = value.as_int64();
  if (!number || *number < least || *number > most) {
    return wrong_field(field, cat("a number from ", least, " to ", most, " was expected"));
  }
  *out = *number;
  return {};
}

Status take_flag(const Value& value, std::string_view field, bool* out) {
  const auto flag = value.as_bool();
  if (!flag) return wrong_field(field, "true or false was expected");
  *out = *flag;
  return {};
}

Status take_text(const Value& value, std::string_view field, std::string* out) {
  const std::string* text = value.as_string();
  if (text == nullptr) return wrong_field(field, "a text was expected");
  *out = *text;
  return {};
}

Status take_texts(const Value& value, std::string_view field, std::vector<std::string>* out) {
  const auto* list = value.as_list();
  if (list == nullptr) return wrong_field(field, "a list was expected");
  std::vector<std::string> texts;
  for (const Value& one : *list) {
    std::string text;
    if (Status taken = take_text(one, cat(field, "[", texts.size(), "]"), &text); !taken) return taken;
    texts.push_back(std::move(text));
  }
  *out = std::move(texts);
  return {};
}

Status take_addresses(const Value& value, std::string_view field, std::vector<std::string>* out) {
  std::vector<std::string> texts;
  if (Status taken = take_texts(value, field, &texts); !taken) return taken;
  for (const auto& text : texts) {
    if (!api::parse_ip(text)) return wrong_field(field, cat("an address was expected, not ", quoted(text)));
  }
  *out = std::move(texts);
  return {};
}

Status take_path(const Value& value, std::string_view field, std::string* out) {
  std::string path;
  if (auto taken = take_text(value, field, &path); !taken || path.empty()) return taken;
  if (!path.starts_with('/')) return wrong_field(field, "an absolute path was expected");
  *out = std::move(path);
  return {};
}

Status take_duration(const Value& value, std::string_view field, Duration* out) {
  const std::string* text = value.as_string();
  auto duration = text == nullptr ? invalid_argument("a duration was expected") : parse_duration(*text);
  if (!duration) return wrong_field(field, duration.error().message());
  if (*duration > kLongestTime) return wrong_field(field, "at most a year was expected");
  if (*duration > Duration::zero()) *out = *duration;
  return {};
}

Status take_size(const Value& value, std::string_view field, std::int64_t least, std::int64_t most, std::size_t* out) {
  std::int64_t number = 0;
  auto taken = take_number(value, field, least, most, &number);
  if (taken) *out = static_cast<std::size_t>(number);
  return taken;
}

Status take_percent(const Value& value, std::string_view field, int* out) {
  std::int64_t number = 0;
  auto taken = take_number(value, field, 0, 100, &number);
  if (taken) *out = static_cast<int>(number);
  return taken;
}

Status take_bytes(const Value& value, std::string_view field, std::int64_t* out) {
  const std::string* text = value.as_string();
  auto quantity = text == nullptr ? invalid_argument("a quantity was expected") : api::Quantity::parse(*text);
  if (!quantity || quantity->is_zero()) return wrong_field(field, "a quantity that is not 0 was expected");
  *out = quantity->value();
  return {};
}

Status take_numbers(const Value& value, std::string_view field, std::vector<std::int64_t>* out) {
  const auto* list = value.as_list();
  if (list == nullptr) return wrong_field(field, "a list was expected");
  std::vector<std::int64_t> numbers;
  for (const Value& one : *list) {
    const auto number = one.as_int64();
    if (!number) return wrong_field(cat(field, "[", numbers.size(), "]"), "a number was expected");
    numbers.push_back(*number);
  }
  *out = std::move(numbers);
  return {};
}

Status take_address(const Value& value, std::string_view field, std::string* out) {
  std::string text;
  if (auto taken = take_text(value, field, &text); !taken || text.empty()) return taken;
  if (!api::parse_ip(text)) return wrong_field(field, cat("an address was expected, not ", quoted(text)));
  *out = std::move(text);
  return {};
}

Status take_port(const Value& value, std::string_view field, std::uint16_t* out) {
  std::int64_t number = 0;
  auto taken = take_number(value, field, 0, kLastPort, &number);
  if (taken) *out = static_cast<std::uint16_t>(number);
  return taken;
}

}  // namespace gantry::agent
