// SPDX-License-Identifier: Apache-2.0
// Message to Value, as upstream's JSON encoder would write it.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "api/codec.h"
#include "api/duration.h"
#include "api/json.h"
#include "api/nested_object.h"
#include "api/quantity.h"
#include "api/text.h"
#include "api/time.h"

namespace gantry::api {

namespace {

namespace pb = google::protobuf;
using Type = Schema::Type;
using Presence = Schema::Presence;

Value encode_struct(const Schema& schema, const pb::Message& message, bool root);
Value encode_list(const Schema& schema, const pb::Message& message, const pb::FieldDescriptor* field);

const pb::FieldDescriptor* by_number(const pb::Message& message, int number) {
  return message.GetDescriptor()->FindFieldByNumber(number);
}

std::string text_at(const pb::Message& message, int number) {
  return message.GetReflection()->GetString(message, by_number(message, number));
}

Value encode_double(double value) {
  if (!std::isfinite(value)) return {};  // JSON has no word for it
  if (value == std::trunc(value) && std::fabs(value) < 1e15) return static_cast<int64_t>(value);
  char text[32];
  return Value::number(std::string(text, std::to_chars(text, text + sizeof text, value).ptr));
}

Value encode_time(Type type, const pb::Message& message) {
  const pb::Reflection& reflection = *message.GetReflection();
  const pb::FieldDescriptor* seconds_field = by_number(message, 1);
  if (!reflection.HasField(message, seconds_field)) return {};
  const int64_t seconds = reflection.GetInt64(message, seconds_field);
  const int32_t nanos = reflection.GetInt32(message, by_number(message, 2));
  if (!is_representable(seconds) || nanos < 0 || nanos > 999'999'999) return {};
  return type == Type::kTime ? format_rfc3339(seconds) : format_rfc3339_micro({seconds, nanos});
}

Value encode_int_or_string(const pb::Message& message) {
  const pb::Reflection& reflection = *message.GetReflection();
  if (reflection.GetInt64(message, by_number(message, 1)) == 1) return text_at(message, 3);
  return static_cast<int64_t>(reflection.GetInt32(message, by_number(message, 2)));
}

Value encode_quantity(const pb::Message& message) {
  std::string text = text_at(message, 1);
  if (text.empty()) return "0";
  Result<std::string> canonical = canonical_quantity(text);
  return canonical ? std::move(*canonical) : std::move(text);
}

Value encode_raw(const pb::Message& message) {
  const std::string text = text_at(message, 1);
  if (text.empty()) return {};
  Result<Value> value = parse_json(text);
  return value ? std::move(*value) : Value();
}

Value encode_message(const Schema& schema, const pb::Message& message) {
  switch (schema.type) {
    case Type::kQuantity:
      return encode_quantity(message);
    case Type::kTime:
    case Type::kMicroTime:
      return encode_time(schema.type, message);
    case Type::kIntOrString:
      return encode_int_or_string(message);
    case Type::kRaw:
      return encode_raw(message);
    case Type::kList:
      return encode_list(schema, message, by_number(message, 1));
    default:
      if (is_duration(schema)) return duration_json_text(message);
      return encode_struct(schema, message, false);
  }
}

Value encode_singular(const Schema& schema, const pb::Message& message, const pb::FieldDescriptor* field) {
  const pb::Reflection& reflection = *message.GetReflection();
  switch (schema.type) {
    case Type::kString:
      return reflection.GetString(message, field);
    case Type::kBool:
      return reflection.GetBool(message, field);
    case Type::kInt32:
      return static_cast<int64_t>(reflection.GetInt32(message, field));
    case Type::kInt64:
      return reflection.GetInt64(message, field);
    case Type::kDouble:
      return encode_double(reflection.GetDouble(message, field));
    case Type::kBytes:
      return encode_base64(reflection.GetString(message, field));
    default:
      return encode_message(schema, reflection.GetMessage(message, field));
  }
}

Value encode_element(const Schema& schema, const pb::Message& message, const pb::FieldDescriptor* field, int i) {
  const pb::Reflection& reflection = *message.GetReflection();
  switch (schema.type) {
    case Type::kString:
      return reflection.GetRepeatedString(message, field, i);
    case Type::kBool:
      return reflection.GetRepeatedBool(message, field, i);
    case Type::kInt32:
      return static_cast<int64_t>(reflection.GetRepeatedInt32(message, field, i));
    case Type::kInt64:
      return reflection.GetRepeatedInt64(message, field, i);
    case Type::kDouble:
      return encode_double(reflection.GetRepeatedDouble(message, field, i));
    case Type::kBytes:
      return encode_base64(reflection.GetRepeatedString(message, field, i));
    default:
      if (says_type(field->name()))
        return encode_struct(schema, reflection.GetRepeatedMessage(message, field, i), true);
      return encode_message(schema, reflection.GetRepeatedMessage(message, field, i));
  }
}

Value encode_list(const Schema& schema, const pb::Message& message, const pb::FieldDescriptor* field) {
  const int size = message.GetReflection()->FieldSize(message, field);
  Value::List list;
  list.reserve(size);
  for (int i = 0; i < size; ++i) list.push_back(encode_element(*schema.element, message, field, i));
  return list;
}

Value encode_map(const Schema& schema, const pb::Message& message, const pb::FieldDescriptor* field) {
  const int size = message.GetReflection()->FieldSize(message, field);
  Value::Object object;
  object.reserve(size);
  for (int i = 0; i < size; ++i) {
    const pb::Message& entry = message.GetReflection()->GetRepeatedMessage(message, field, i);
    const pb::Descriptor& shape = *entry.GetDescriptor();
    object.emplace_back(entry.GetReflection()->GetString(entry, shape.map_key()),
                        encode_singular(*schema.element, entry, shape.map_value()));
  }
  std::ranges::sort(object, {}, &Value::Member::key);
  return object;
}

// Upstream's "omitempty": false, 0 and "" are empty, a struct never is.
bool is_empty_scalar(const Value& value) {
  return value.as_bool() == false || value.as_int64() == 0 || value.as_double() == 0.0 ||
         (value.is_string() && value.as_string()->empty());
}

bool is_zero(const Value& value) { return value.is_null() || (value.is_object() && value.as_object()->empty()); }

void encode_field(const Schema::Field& field, const pb::Message& root, Value::Object* out) {
  const pb::Message* message = &root;
  for (size_t i = 0; i + 1 < field.path.size(); ++i) {
    message = &message->GetReflection()->GetMessage(*message, field.path[i]);
  }
  const pb::FieldDescriptor* descriptor = field.path.back();
  const bool always = field.emit == Schema::Emit::kAlways;
  if (descriptor->is_repeated()) {
    const int size = message->GetReflection()->FieldSize(*message, descriptor);
    if (size > 0) {
      out->emplace_back(field.name, field.type->type == Type::kMap ? encode_map(*field.type, *message, descriptor)
                                                                   : encode_list(*field.type, *message, descriptor));
    } else if (always) {
      // A list object answers [] where everything else answers null.
      out->emplace_back(field.name, field.name == "items" ? Value(Value::List()) : Value());
    }
    return;
  }
  // Bytes are a list to upstream, which keeps an empty one apart from none.
  const bool may_be_absent = field.presence == Presence::kPointer || field.type->type == Type::kBytes;
  if (may_be_absent && !message->GetReflection()->HasField(*message, descriptor)) {
    if (always) out->emplace_back(field.name, Value());
    return;
  }
  Value value = encode_singular(*field.type, *message, descriptor);
  if (value.is_list() && value.as_list()->empty()) {
    if (always) out->emplace_back(field.name, Value());
    return;
  }
  if (field.presence != Presence::kPointer && !always) {
    const bool scalar = descriptor->message_type() == nullptr;
    if (scalar ? is_empty_scalar(value) : field.emit == Schema::Emit::kOmitZero && is_zero(value)) return;
  }
  out->emplace_back(field.name, std::move(value));
}

Value encode_struct(const Schema& schema, const pb::Message& message, bool root) {
  Value::Object object;
  if (root && !schema.kind.empty()) {
    object.emplace_back("kind", schema.kind);
    object.emplace_back("apiVersion", schema.api_version);
  }
  for (const Schema::Field& field : schema.fields) encode_field(field, message, &object);
  return object;
}

}  // namespace

Value encode(const google::protobuf::Message& message) {
  const Schema& schema = schema_of(*message.GetDescriptor());
  if (schema.type != Type::kStruct) return encode_message(schema, message);
  return encode_struct(schema, message, true);
}

}  // namespace gantry::api
