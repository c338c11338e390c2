// SPDX-License-Identifier: Apache-2.0
#include "images/json_reader.h"

#include <algorithm>

#include "images/image_config.h"
#include "images/text.h"

namespace gantry::images {

namespace json = boost::json;

Result<json::object> parse_json_object(std::string_view text, std::string_view what, std::size_t limit) {
  if (text.size() > limit) {
    return fail(Code::kResourceExhausted,
                cat(what, ": ", text.size(), " bytes of JSON, at most ", limit, " are allowed"));
  }
  json::parse_options options;
  options.max_depth = 32;
  json::error_code error;
  json::value value = json::parse(json::string_view(text.data(), text.size()), error, {}, options);
  if (error) return invalid_argument(cat(what, ": not JSON: ", error.message()));
  if (!value.is_object()) return invalid_argument(cat(what, ": expected a JSON object"));
  return std::move(value.get_object());
}

void JsonReader::complain(std::string_view key, std::string_view why) {
  if (!error_) error_ = Error(Code::kInvalidArgument, cat(what_, ": ", in_quotes(key), " ", why));
}

Status JsonReader::status() const {
  if (error_) return std::unexpected(*error_);
  return {};
}

const json::value* JsonReader::find(const json::object& from, std::string_view key) {
  if (error_) return nullptr;
  const json::value* value = from.if_contains(json::string_view(key.data(), key.size()));
  return value == nullptr || value->is_null() ? nullptr : value;
}

bool JsonReader::take_text(const json::value& value, std::string_view key, std::string& out) {
  if (!value.is_string()) {
    complain(key, "is not a string");
    return false;
  }
  const json::string& text = value.get_string();
  if (text.size() > kMaxConfigString) {
    complain(key, cat("has ", text.size(), " bytes, at most ", kMaxConfigString, " are allowed"));
    return false;
  }
  if (std::find(text.begin(), text.end(), '\0') != text.end()) {
    complain(key, "holds a NUL byte");
    return false;
  }
  out.assign(text.data(), text.size());
  return true;
}

std::string JsonReader::text(const json::object& from, std::string_view key) {
  std::string out;
  if (const json::value* value = find(from, key)) take_text(*value, key, out);
  return out;
}

const json::array* JsonReader::array(const json::object& from, std::string_view key, std::size_t limit) {
  const json::value* value = find(from, key);
  if (value == nullptr) return nullptr;
  if (!value->is_array()) {
    complain(key, "is not a list");
    return nullptr;
  }
  if (value->get_array().size() > limit) {
    complain(key, cat("has ", value->get_array().size(), " entries, at most ", limit, " are allowed"));
    return nullptr;
  }
  return &value->get_array();
}

const json::object* JsonReader::object(const json::object& from, std::string_view key) {
  const json::value* value = find(from, key);
  return value == nullptr ? nullptr : element(*value, key);
}

const json::object* JsonReader::element(const json::value& value, std::string_view key) {
  if (!value.is_object()) {
    complain(key, "is not an object");
    return nullptr;
  }
  if (value.get_object().size() > kMaxConfigEntries) {
    complain(key, cat("has ", value.get_object().size(), " entries, at most ", kMaxConfigEntries, " are allowed"));
    return nullptr;
  }
  return &value.get_object();
}

std::vector<std::string> JsonReader::texts(const json::object& from, std::string_view key) {
  std::vector<std::string> out;
  const json::array* list = array(from, key, kMaxConfigEntries);
  if (list == nullptr) return out;
  out.reserve(list->size());
  for (const json::value& value : *list) {
    if (!take_text(value, key, out.emplace_back())) return {};
  }
  return out;
}

std::map<std::string, std::string> JsonReader::text_map(const json::object& from, std::string_view key) {
  std::map<std::string, std::string> out;
  const json::object* entries = object(from, key);
  if (entries == nullptr) return out;
  for (const auto& entry : *entries) {
    std::string name;
    if (!take_text(json::value(entry.key()), key, name) || !take_text(entry.value(), key, out[name])) return {};
  }
  return out;
}

std::vector<std::string> JsonReader::keys(const json::object& from, std::string_view key) {
  std::vector<std::string> out;
  const json::object* entries = object(from, key);
  if (entries == nullptr) return out;
  for (const auto& entry : *entries) {
    if (!take_text(json::value(entry.key()), key, out.emplace_back())) return {};
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::optional<std::uint64_t> JsonReader::number(const json::object& from, std::string_view key) {
  const json::value* value = find(from, key);
  if (value == nullptr) return std::nullopt;
  if (value->is_uint64()) return value->get_uint64();
  if (value->is_int64() && value->get_int64() >= 0) return static_cast<std::uint64_t>(value->get_int64());
  complain(key, "is not a whole number from 0");
  return std::nullopt;
}

}  // namespace gantry::images
