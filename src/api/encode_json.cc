// SPDX-License-Identifier: Apache-2.0
// Message to JSON text: what encode.cc says, without a tree in between. Every list, watch and answer is made of this.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <vector>

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

const pb::FieldDescriptor* by_number(const pb::Message& message, int number) {
  return message.GetDescriptor()->FindFieldByNumber(number);
}

class TextEncoder {
 public:
  explicit TextEncoder(std::string* out) : out_(*out) {}

  void add_message(const Schema& schema, const pb::Message& message) {
    switch (schema.type) {
      case Type::kQuantity:
        return add_quantity(message);
      case Type::kTime:
      case Type::kMicroTime:
        return add_time(schema.type, message);
      case Type::kIntOrString:
        return add_int_or_string(message);
      case Type::kRaw:
        return add_raw(message);
      case Type::kList:
        return add_list(schema, message, by_number(message, 1));
      default:
        if (is_duration(schema)) return append_json_string(duration_json_text(message), &out_);
        return add_struct(schema, message, false);
    }
  }

  void add_struct(const Schema& schema, const pb::Message& message, bool root) {
    out_ += '{';
    bool first = true;
    if (root && !schema.kind.empty()) {
      add_key("kind", &first);
      append_json_string(schema.kind, &out_);
      add_key("apiVersion", &first);
      append_json_string(schema.api_version, &out_);
    }
    for (const Schema::Field& field : schema.fields) add_field(field, message, &first);
    out_ += '}';
  }

 private:
  void add_key(std::string_view name, bool* first) {
    if (!std::exchange(*first, false)) out_ += ',';
    out_ += '"';
    out_ += name;
    out_ += "\":";
  }

  void add_null(std::string_view name, bool* first) {
    add_key(name, first);
    out_ += "null";
  }

  void add_integer(int64_t value) {
    char text[24];
    out_.append(text, std::to_chars(text, text + sizeof text, value).ptr);
  }

  void add_double(double value) {
    if (!std::isfinite(value)) {
      out_ += "null";  // JSON has no word for it
    } else if (value == std::trunc(value) && std::fabs(value) < 1e15) {
      add_integer(static_cast<int64_t>(value));
    } else {
      char text[32];
      out_.append(text, std::to_chars(text, text + sizeof text, value).ptr);
    }
  }

  const std::string& text_at(const pb::Message& message, const pb::FieldDescriptor* field) {
    return message.GetReflection()->GetStringReference(message, field, &scratch_);
  }

  void add_quantity(const pb::Message& message) {
    const std::string& text = text_at(message, by_number(message, 1));
    if (text.empty()) {
      out_ += "\"0\"";
      return;
    }
    const Result<std::string> canonical = canonical_quantity(text);
    append_json_string(canonical ? *canonical : text, &out_);
  }

  void add_time(Type type, const pb::Message& message) {
    const pb::Reflection& reflection = *message.GetReflection();
    const pb::FieldDescriptor* seconds_field = by_number(message, 1);
    const int64_t seconds = reflection.GetInt64(message, seconds_field);
    const int32_t nanos = reflection.GetInt32(message, by_number(message, 2));
    if (!reflection.HasField(message, seconds_field) || !is_representable(seconds) || nanos < 0 ||
        nanos > 999'999'999) {
      out_ += "null";
      return;
    }
    append_json_string(type == Type::kTime ? format_rfc3339(seconds) : format_rfc3339_micro({seconds, nanos}), &out_);
  }

  void add_int_or_string(const pb::Message& message) {
    const pb::Reflection& reflection = *message.GetReflection();
    if (reflection.GetInt64(message, by_number(message, 1)) == 1) {
      append_json_string(text_at(message, by_number(message, 3)), &out_);
    } else {
      add_integer(reflection.GetInt32(message, by_number(message, 2)));
    }
  }

  void add_raw(const pb::Message& message) {
    const std::string& text = text_at(message, by_number(message, 1));
    if (text.empty() || !is_json(text)) {
      out_ += "null";
    } else {
      append_compact(text, &out_);
    }
  }

  void add_singular(const Schema& schema, const pb::Message& message, const pb::FieldDescriptor* field) {
    const pb::Reflection& reflection = *message.GetReflection();
    switch (schema.type) {
      case Type::kString:
        return append_json_string(text_at(message, field), &out_);
      case Type::kBool:
        out_ += reflection.GetBool(message, field) ? "true" : "false";
        return;
      case Type::kInt32:
        return add_integer(reflection.GetInt32(message, field));
      case Type::kInt64:
        return add_integer(reflection.GetInt64(message, field));
      case Type::kDouble:
        return add_double(reflection.GetDouble(message, field));
      case Type::kBytes:
        return append_json_string(encode_base64(text_at(message, field)), &out_);
      default:
        return add_message(schema, reflection.GetMessage(message, field));
    }
  }

  void add_element(const Schema& schema, const pb::Message& message, const pb::FieldDescriptor* field, int i) {
    const pb::Reflection& reflection = *message.GetReflection();
    switch (schema.type) {
      case Type::kString:
        return append_json_string(reflection.GetRepeatedStringReference(message, field, i, &scratch_), &out_);
      case Type::kBool:
        out_ += reflection.GetRepeatedBool(message, field, i) ? "true" : "false";
        return;
      case Type::kInt32:
        return add_integer(reflection.GetRepeatedInt32(message, field, i));
      case Type::kInt64:
        return add_integer(reflection.GetRepeatedInt64(message, field, i));
      case Type::kDouble:
        return add_double(reflection.GetRepeatedDouble(message, field, i));
      case Type::kBytes:
        return append_json_string(encode_base64(reflection.GetRepeatedStringReference(message, field, i, &scratch_)),
                                  &out_);
      default:
        if (says_type(field->name())) return add_struct(schema, reflection.GetRepeatedMessage(message, field, i), true);
        return add_message(schema, reflection.GetRepeatedMessage(message, field, i));
    }
  }

  void add_list(const Schema& schema, const pb::Message& message, const pb::FieldDescriptor* field) {
    const int size = message.GetReflection()->FieldSize(message, field);
    out_ += '[';
    for (int i = 0; i < size; ++i) {
      if (i > 0) out_ += ',';
      add_element(*schema.element, message, field, i);
    }
    out_ += ']';
  }

  // By key, whatever their order in the message.
  void add_map(const Schema& schema, const pb::Message& message, const pb::FieldDescriptor* field) {
    const pb::Reflection& reflection = *message.GetReflection();
    const pb::FieldDescriptor* key_field = field->message_type()->map_key();
    const pb::FieldDescriptor* value_field = field->message_type()->map_value();
    std::vector<std::pair<std::string, const pb::Message*>> entries;
    const int size = reflection.FieldSize(message, field);
    entries.reserve(static_cast<size_t>(size));
    for (int i = 0; i < size; ++i) {
      const pb::Message& entry = reflection.GetRepeatedMessage(message, field, i);
      entries.emplace_back(text_at(entry, key_field), &entry);
    }
    std::ranges::sort(entries, {}, &std::pair<std::string, const pb::Message*>::first);
    out_ += '{';
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out_ += ',';
      append_json_string(entries[i].first, &out_);
      out_ += ':';
      add_singular(*schema.element, *entries[i].second, value_field);
    }
    out_ += '}';
  }

  // Upstream's "omitempty": false, 0 and "" are empty.
  bool is_empty_scalar(Type type, const pb::Message& message, const pb::FieldDescriptor* field) {
    const pb::Reflection& reflection = *message.GetReflection();
    switch (type) {
      case Type::kBool:
        return !reflection.GetBool(message, field);
      case Type::kInt32:
        return reflection.GetInt32(message, field) == 0;
      case Type::kInt64:
        return reflection.GetInt64(message, field) == 0;
      case Type::kDouble:
        return reflection.GetDouble(message, field) == 0.0;
      default:
        return text_at(message, field).empty();
    }
  }

  void add_field(const Schema::Field& field, const pb::Message& root, bool* first) {
    const pb::Message* message = &root;
    for (size_t i = 0; i + 1 < field.path.size(); ++i) {
      message = &message->GetReflection()->GetMessage(*message, field.path[i]);
    }
    const pb::FieldDescriptor* descriptor = field.path.back();
    const bool always = field.emit == Schema::Emit::kAlways;
    if (descriptor->is_repeated()) return add_repeated(field, *message, descriptor, first);
    const bool may_be_absent = field.presence == Presence::kPointer || field.type->type == Type::kBytes;
    if (may_be_absent && !message->GetReflection()->HasField(*message, descriptor)) {
      if (always) add_null(field.name, first);
      return;
    }
    const bool may_be_left_out = field.presence != Presence::kPointer && !always;
    const bool is_scalar = descriptor->message_type() == nullptr;
    if (may_be_left_out && is_scalar && is_empty_scalar(field.type->type, *message, descriptor)) return;
    const size_t begin = out_.size();
    const bool was_first = *first;
    add_key(field.name, first);
    const size_t value = out_.size();
    add_singular(*field.type, *message, descriptor);
    if (is_scalar) return;
    // Whether a struct is empty shows when it is written.
    const std::string_view written = std::string_view(out_).substr(value);
    const bool is_empty_list = field.type->type == Type::kList && written == "[]";
    const bool is_zero =
        may_be_left_out && field.emit == Schema::Emit::kOmitZero && (written == "null" || written == "{}");
    if (!is_empty_list && !is_zero) return;
    out_.resize(begin);
    *first = was_first;
    if (is_empty_list && always) add_null(field.name, first);
  }

  void add_repeated(const Schema::Field& field, const pb::Message& message, const pb::FieldDescriptor* descriptor,
                    bool* first) {
    if (message.GetReflection()->FieldSize(message, descriptor) > 0) {
      add_key(field.name, first);
      if (field.type->type == Type::kMap) {
        add_map(*field.type, message, descriptor);
      } else {
        add_list(*field.type, message, descriptor);
      }
    } else if (field.emit == Schema::Emit::kAlways) {
      // A list object answers [] where everything else answers null.
      if (field.name != "items") return add_null(field.name, first);
      add_key(field.name, first);
      out_ += "[]";
    }
  }

  std::string& out_;
  std::string scratch_;  // where reflection puts what it can't refer to
};

}  // namespace

void encode_json(const google::protobuf::Message& message, std::string* out) {
  const Schema& schema = schema_of(*message.GetDescriptor());
  TextEncoder encoder(out);
  if (schema.type == Type::kStruct) {
    encoder.add_struct(schema, message, true);
  } else {
    encoder.add_message(schema, message);
  }
}

}  // namespace gantry::api
