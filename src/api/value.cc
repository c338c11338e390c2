// SPDX-License-Identifier: Apache-2.0
#include "api/value.h"

#include <charconv>
#include <limits>
#include <map>
#include <utility>

#include "api/text.h"

namespace gantry::api {

namespace {

constexpr size_t kMaxDescribed = 64;

std::map<std::string_view, const Value*> last_members(const Value::Object& object) {
  std::map<std::string_view, const Value*> members;
  for (const Value::Member& member : object) members[member.key] = &member.value;
  return members;
}

}  // namespace

Value::Value() = default;
Value::Value(const Value& other) = default;
Value::Value(Value&& other) noexcept = default;
Value& Value::operator=(const Value& other) = default;
Value& Value::operator=(Value&& other) noexcept = default;
Value::~Value() = default;

Value::Value(bool value) : data_(value) {}
Value::Value(int value) : data_(int64_t{value}) {}
Value::Value(int64_t value) : data_(value) {}
Value::Value(const char* value) : data_(std::string(value)) {}
Value::Value(std::string value) : data_(std::move(value)) {}
Value::Value(std::string_view value) : data_(std::string(value)) {}
Value::Value(List value) : data_(std::move(value)) {}

Value::Value(uint64_t value) {
  if (value <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    data_ = static_cast<int64_t>(value);
  } else {
    data_ = value;
  }
}

Value::Value(Object value) : data_(std::move(value)) {}

Value Value::number(std::string text) {
  Value value;
  value.data_ = Number{std::move(text)};
  return value;
}

Value Value::object(std::initializer_list<Member> members) { return {Object(members)}; }

Value::Kind Value::kind() const {
  static constexpr Kind kKinds[] = {Kind::kNull,   Kind::kBool,   Kind::kInteger, Kind::kInteger,
                                    Kind::kNumber, Kind::kString, Kind::kList,    Kind::kObject};
  return kKinds[data_.index()];
}

std::optional<bool> Value::as_bool() const {
  if (const bool* value = std::get_if<bool>(&data_)) return *value;
  return std::nullopt;
}

std::optional<int64_t> Value::as_int64() const {
  if (const int64_t* value = std::get_if<int64_t>(&data_)) return *value;
  return std::nullopt;
}

std::optional<uint64_t> Value::as_uint64() const {
  if (const uint64_t* value = std::get_if<uint64_t>(&data_)) return *value;
  const int64_t* value = std::get_if<int64_t>(&data_);
  if (value != nullptr && *value >= 0) return static_cast<uint64_t>(*value);
  return std::nullopt;
}

std::optional<double> Value::as_double() const {
  if (const int64_t* value = std::get_if<int64_t>(&data_)) return static_cast<double>(*value);
  if (const uint64_t* value = std::get_if<uint64_t>(&data_)) return static_cast<double>(*value);
  const Number* number = std::get_if<Number>(&data_);
  if (number == nullptr) return std::nullopt;
  double value = 0;
  const std::string& text = number->text;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range) {
    // from_chars leaves the value alone: too large, or too small to tell from zero.
    const size_t exponent = text.find_first_of("eE");
    const bool small = exponent != std::string::npos && text.compare(exponent + 1, 1, "-") == 0;
    const double magnitude = small ? 0 : std::numeric_limits<double>::infinity();
    return text[0] == '-' ? -magnitude : magnitude;
  }
  return value;
}

std::optional<std::string> Value::number_text() const {
  if (const int64_t* value = std::get_if<int64_t>(&data_)) return cat(*value);
  if (const uint64_t* value = std::get_if<uint64_t>(&data_)) return cat(*value);
  if (const Number* number = std::get_if<Number>(&data_)) return number->text;
  return std::nullopt;
}

const Value* Value::find(std::string_view key) const {
  const Object* object = as_object();
  if (object == nullptr) return nullptr;
  for (auto member = object->rbegin(); member != object->rend(); ++member) {
    if (member->key == key) return &member->value;
  }
  return nullptr;
}

Value* Value::find(std::string_view key) { return const_cast<Value*>(std::as_const(*this).find(key)); }

std::string Value::text_at(std::string_view key) const {
  const Value* found = find(key);
  const std::string* text = found == nullptr ? nullptr : found->as_string();
  return text == nullptr ? std::string() : *text;
}

const Value::List& Value::list_at(std::string_view key) const {
  static const List kNone;
  const Value* found = find(key);
  const List* list = found == nullptr ? nullptr : found->as_list();
  return list == nullptr ? kNone : *list;
}

Value& Value::operator[](std::string_view key) {
  if (Value* found = find(key)) return *found;
  return std::get<Object>(data_).emplace_back(std::string(key), Value()).value;
}

bool operator==(const Value& a, const Value& b) {
  const Value::Kind kind = a.kind();
  if (kind == Value::Kind::kInteger || kind == Value::Kind::kNumber) {
    const Value::Kind other = b.kind();
    if (kind == other && a.number_text() == b.number_text()) return true;
    if (kind == Value::Kind::kInteger && other == Value::Kind::kInteger) return false;
    return a.as_double() == b.as_double();
  }
  if (kind != b.kind()) return false;
  switch (kind) {
    case Value::Kind::kBool:
      return a.as_bool() == b.as_bool();
    case Value::Kind::kString:
      return *a.as_string() == *b.as_string();
    case Value::Kind::kList:
      return *a.as_list() == *b.as_list();
    case Value::Kind::kObject: {
      const auto left = last_members(*a.as_object());
      const auto right = last_members(*b.as_object());
      if (left.size() != right.size()) return false;
      for (auto l = left.begin(), r = right.begin(); l != left.end(); ++l, ++r) {
        if (l->first != r->first || !(*l->second == *r->second)) return false;
      }
      return true;
    }
    default:
      return true;
  }
}

std::string describe(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kNull:
      return "null";
    case Value::Kind::kBool:
      return cat("boolean ", *value.as_bool() ? "true" : "false");
    case Value::Kind::kInteger:
      return cat("integer ", *value.number_text());
    case Value::Kind::kNumber: {
      const std::string text = *value.number_text();
      return cat("number ", text.substr(0, kMaxDescribed), text.size() > kMaxDescribed ? "..." : "");
    }
    case Value::Kind::kString: {
      const std::string& text = *value.as_string();
      return cat("string ", quoted(text, kMaxDescribed));
    }
    case Value::Kind::kList:
      return "a list";
    case Value::Kind::kObject:
      return "an object";
  }
  return "a value";
}

}  // namespace gantry::api
