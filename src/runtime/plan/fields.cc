// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/fields.h"

#include <algorithm>

namespace gantry::runtime {
namespace {

namespace json = boost::json;

// A value as a message shows it.
std::string shown(const json::value& value) {
  constexpr std::size_t kMostShown = 64;
  if (value.is_object()) return "an object";
  if (value.is_array()) return "a list";
  if (value.is_string()) return quoted(std::string_view(value.get_string().data(), value.get_string().size()));
  return as_utf8(json::serialize(value), kMostShown);
}

bool is_nothing(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return true;
    case json::kind::bool_:
      return !value.get_bool();
    case json::kind::int64:
      return value.get_int64() == 0;
    case json::kind::uint64:
      return value.get_uint64() == 0;
    case json::kind::double_:
      return value.get_double() == 0;
    case json::kind::string:
      return value.get_string().empty();
    case json::kind::array:
      return value.get_array().empty();
    case json::kind::object:
      return value.get_object().empty();
  }
  return false;
}

bool has_nul(const json::string& text) {
  return std::string_view(text.data(), text.size()).find('\0') != std::string_view::npos;
}

}  // namespace

std::optional<Fields::Wide> Fields::whole(const json::value& value) {
  if (value.is_int64()) return value.get_int64();
  if (value.is_uint64()) return value.get_uint64();
  return std::nullopt;
}

const json::value* Fields::find(const char* name) const {
  const json::value* value = object_->if_contains(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::string Fields::path_of(std::string_view name) const {
  if (name.empty()) return path_;
  return path_.empty() ? std::string(name) : cat(path_, ".", name);
}

void Fields::refuse_at(const std::string& path, const json::value& value, std::string_view expected) const {
  if (*problem_) *problem_ = invalid_argument(cat(path, ": ", shown(value), " is wrong: ", expected, " was expected"));
}

void Fields::refuse(std::string_view name, const json::value& value, std::string_view expected) const {
  refuse_at(path_of(name), value, expected);
}

void Fields::refuse(std::string_view name, std::string_view why, Code code) const {
  if (*problem_) *problem_ = fail(code, cat(path_of(name), ": ", why));
}

void Fields::missing(std::string_view name, std::string_view expected) const {
  if (*problem_) *problem_ = invalid_argument(cat(path_of(name), ": is missing: ", expected, " was expected"));
}

bool Fields::says(const char* name) const {
  const json::value* value = find(name);
  return value != nullptr && !is_nothing(*value);
}

void Fields::only(std::initializer_list<std::string_view> names) const {
  for (const auto& entry : *object_) {
    std::string_view key(entry.key().data(), entry.key().size());
    if (std::ranges::find(names, key) == names.end()) return refuse(quoted(key), "is no field that is known here");
  }
}

void Fields::unsupported(const char* name, std::string_view why) const {
  if (says(name)) refuse(name, why, Code::kUnimplemented);
}

bool Fields::text(const char* name, std::string& out) const {
  const json::value* value = find(name);
  if (value == nullptr) return false;
  if (!value->is_string() || has_nul(value->get_string())) {
    refuse(name, *value, "a text without NUL");
    return false;
  }
  out.assign(value->get_string().data(), value->get_string().size());
  return true;
}

bool Fields::flag(const char* name, bool& out) const {
  const json::value* value = find(name);
  if (value == nullptr) return false;
  if (!value->is_bool()) {
    refuse(name, *value, "true or false");
    return false;
  }
  out = value->get_bool();
  return true;
}

bool Fields::flag(const char* name, std::optional<bool>& out) const {
  bool value = false;
  if (!flag(name, value)) return false;
  out = value;
  return true;
}

void Fields::values(const char* name, const std::function<void(const json::value&, const std::string&)>& use) const {
  const json::value* value = find(name);
  if (value == nullptr) return;
  if (!value->is_array()) return refuse(name, *value, "a list");
  if (value->get_array().size() > kMaxEntries) {
    return refuse(name, cat("has ", value->get_array().size(), " entries: at most ", kMaxEntries, " are taken"));
  }
  std::size_t index = 0;
  for (const json::value& each : value->get_array()) use(each, cat(path_of(name), "[", index++, "]"));
}

bool Fields::texts(const char* name, std::vector<std::string>& out) const {
  bool there = find(name) != nullptr;
  values(name, [&](const json::value& value, const std::string& path) {
    if (!value.is_string() || has_nul(value.get_string())) return refuse_at(path, value, "a text without NUL");
    out.emplace_back(value.get_string().data(), value.get_string().size());
  });
  return there;
}

std::optional<Fields> Fields::object(const char* name) const {
  const json::value* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) {
    refuse(name, *value, "an object");
    return std::nullopt;
  }
  return Fields(value->get_object(), path_of(name), *problem_);
}

void Fields::objects(const char* name, const std::function<void(const Fields&)>& use) const {
  values(name, [&](const json::value& value, const std::string& path) {
    if (!value.is_object()) return refuse_at(path, value, "an object");
    use(Fields(value.get_object(), path, *problem_));
  });
}

void Fields::entries(const char* name, const std::function<void(const std::string&, const std::string&)>& use) const {
  auto object = this->object(name);
  if (!object) return;
  if (object->object_->size() > kMaxEntries) {
    return refuse(name, cat("has ", object->object_->size(), " entries: at most ", kMaxEntries, " are taken"));
  }
  for (const auto& entry : *object->object_) {
    std::string key(entry.key().data(), entry.key().size());
    std::string value;
    if (key.find('\0') != std::string::npos) return refuse(name, "has a name with a NUL byte inside");
    if (object->text(key.c_str(), value)) use(key, value);
  }
}

}  // namespace gantry::runtime
