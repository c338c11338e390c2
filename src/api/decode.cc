// SPDX-License-Identifier: Apache-2.0
// Value to message.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "api/codec.h"
#include "api/duration.h"
#include "api/json.h"
#include "api/quantity.h"
#include "api/text.h"
#include "api/time.h"

namespace gantry::api {

namespace {

namespace pb = google::protobuf;
using Type = Schema::Type;
using Kind = FieldProblem::Kind;

constexpr size_t kMaxProblems = 100;
constexpr int64_t kZeroTime = -62135596800;  // 0001-01-01T00:00:00Z, which upstream takes for no time at all

// Where a value goes: a singular field, or one more element of a repeated one.
struct Slot {
  pb::Message* message;
  const pb::FieldDescriptor* field;

  const pb::Reflection& reflection() const { return *message->GetReflection(); }
  void set(std::string value) const {
    if (field->is_repeated()) return reflection().AddString(message, field, std::move(value));
    reflection().SetString(message, field, std::move(value));
  }
  void set(bool value) const {
    if (field->is_repeated()) return reflection().AddBool(message, field, value);
    reflection().SetBool(message, field, value);
  }
  void set(int32_t value) const {
    if (field->is_repeated()) return reflection().AddInt32(message, field, value);
    reflection().SetInt32(message, field, value);
  }
  void set(int64_t value) const {
    if (field->is_repeated()) return reflection().AddInt64(message, field, value);
    reflection().SetInt64(message, field, value);
  }
  void set(double value) const {
    if (field->is_repeated()) return reflection().AddDouble(message, field, value);
    reflection().SetDouble(message, field, value);
  }
  pb::Message* mutable_message() const {
    return field->is_repeated() ? reflection().AddMessage(message, field) : reflection().MutableMessage(message, field);
  }
};

Slot slot(pb::Message* message, int number) { return {message, message->GetDescriptor()->FindFieldByNumber(number)}; }

// Upstream reads a MicroTime with six digits of fraction, neither more nor fewer.
bool has_micro_fraction(std::string_view text) {
  const size_t dot = text.find('.');
  return dot != std::string_view::npos && text.find_first_not_of("0123456789", dot + 1) == dot + 7;
}

class Decoder {
 public:
  Decoder(const DecodeOptions& options, FieldProblems* problems) : options_(options), problems_(problems) {}

  void decode_root(const Schema& schema, const Value& value, pb::Message* message) {
    if (!value.is_object()) return wrong_type(schema.type, value);
    if (!schema.kind.empty() && options_.require_type) {
      for (const std::string_view name : {"apiVersion", "kind"}) {
        const Value* found = value.find(name);
        if (found == nullptr || found->is_null() || (found->is_string() && found->as_string()->empty())) {
          const std::string& expected = name == "kind" ? schema.kind : schema.api_version;
          with(name, [&] {
            problem(Kind::kRequired, cat("must be set; expected ", quoted(expected)),
                    found == nullptr ? value.position() : found->position());
          });
        }
      }
    }
    decode_struct(schema, value, message, true);
  }

  bool failed() const { return failed_; }
  const FieldProblems& errors() const { return errors_; }
  size_t error_count() const { return error_count_; }

 private:
  // Runs `body` with `name` added to the path.
  template <typename Body>
  void with(std::string_view name, Body&& body) {
    const size_t length = path_.size();
    if (!path_.empty()) path_ += '.';
    path_ += name;
    body();
    path_.resize(length);
  }
  template <typename Step, typename Body>
  void with_index(const Step& step, Body&& body) {
    const size_t length = path_.size();
    path_ += '[';
    path_ += cat(step);
    path_ += ']';
    body();
    path_.resize(length);
  }

  void problem(Kind kind, std::string detail, Position position) {
    const bool only_strict = kind == Kind::kUnknownField || kind == Kind::kDuplicateField;
    FieldProblem problem{kind, path_, std::move(detail), position};
    if (!only_strict || options_.strict) {
      failed_ = true;
      ++error_count_;
      if (errors_.size() < kMaxProblems) errors_.push_back(problem);
    }
    if (problems_ != nullptr && reported_ < kMaxProblems) {
      problems_->push_back(std::move(problem));
      ++reported_;
    }
  }

  void wrong_type(Type type, const Value& value) {
    problem(Kind::kWrongType, cat("expected ", expectation(type), ", found ", describe(value)), value.position());
  }

  // An object within an object may call itself what it likes.
  void decode_struct(const Schema& schema, const Value& value, pb::Message* message, bool root = false) {
    const Value::Object* object = value.as_object();
    if (object == nullptr) return wrong_type(Type::kStruct, value);
    std::vector<bool> seen(schema.fields.size());
    bool seen_type[2] = {};
    for (const Value::Member& member : *object) {
      with(member.key, [&] {
        const bool is_kind = member.key == "kind";
        if (!schema.kind.empty() && (is_kind || member.key == "apiVersion")) {
          if (std::exchange(seen_type[is_kind], true)) duplicate(member);
          if ((!root || (!is_kind && schema.any_version)) && member.value.is_string()) return;
          return check_type(is_kind ? schema.kind : schema.api_version, member.value);
        }
        const Schema::Field* field = schema.find(member.key);
        if (field == nullptr) return problem(Kind::kUnknownField, "unknown field", member.position);
        const size_t index = static_cast<size_t>(field - schema.fields.data());
        if (seen[index]) duplicate(member);
        seen[index] = true;
        decode_field(*field, member.value, message);
      });
    }
  }

  void duplicate(const Value::Member& member) {
    problem(Kind::kDuplicateField, "the field stands here a second time", member.position);
  }

  void check_type(const std::string& expected, const Value& value) {
    const std::string* text = value.as_string();
    if (value.is_null() || (text != nullptr && (*text == expected || text->empty()))) return;
    if (text == nullptr) return wrong_type(Type::kString, value);
    problem(Kind::kNotSupported, cat("expected ", quoted(expected), ", found ", describe(value)), value.position());
  }

  void decode_field(const Schema::Field& field, const Value& value, pb::Message* message) {
    for (size_t i = 0; i + 1 < field.path.size(); ++i) {
      message = message->GetReflection()->MutableMessage(message, field.path[i]);
    }
    const Slot slot{message, field.path.back()};
    slot.reflection().ClearField(message, slot.field);
    if (value.is_null()) return;
    switch (field.type->type) {
      case Type::kList:
        if (slot.field->is_repeated()) return decode_list(*field.type, value, slot);
        return decode_value(*field.type, value, slot);
      case Type::kMap:
        return decode_map(*field.type, value, slot);
      default:
        return decode_value(*field.type, value, slot);
    }
  }

  void decode_list(const Schema& schema, const Value& value, const Slot& slot) {
    const Value::List* list = value.as_list();
    if (list == nullptr) return wrong_type(Type::kList, value);
    for (size_t i = 0; i < list->size(); ++i) {
      with_index(i, [&] { decode_value(*schema.element, (*list)[i], slot); });
    }
  }

  void decode_map(const Schema& schema, const Value& value, const Slot& slot) {
    const Value::Object* object = value.as_object();
    if (object == nullptr) return wrong_type(Type::kMap, value);
    std::unordered_map<std::string_view, int> entries;
    for (const Value::Member& member : *object) {
      with_index(member.key, [&] {
        const auto [known, added] = entries.try_emplace(member.key, static_cast<int>(entries.size()));
        if (!added) duplicate(member);
        pb::Message* entry = added ? slot.mutable_message()
                                   : slot.reflection().MutableRepeatedMessage(slot.message, slot.field, known->second);
        const pb::Descriptor& shape = *entry->GetDescriptor();
        Slot{entry, shape.map_key()}.set(member.key);
        const Slot element{entry, shape.map_value()};
        element.reflection().ClearField(entry, element.field);
        decode_value(*schema.element, member.value, element);
      });
    }
  }

  // A scalar, a struct, or one of the types with a form of their own. null is the type's zero.
  void decode_value(const Schema& schema, const Value& value, const Slot& slot) {
    switch (schema.type) {
      case Type::kStruct: {
        pb::Message* message = slot.mutable_message();
        if (is_duration(schema)) return decode_duration(value, message);
        if (!value.is_null()) decode_struct(schema, value, message);
        return;
      }
      case Type::kString:
        if (const std::string* text = value.as_string()) return slot.set(*text);
        if (value.is_null()) return slot.set(std::string());
        return wrong_string(value);
      case Type::kBool:
        if (value.is_null()) return slot.set(false);
        if (const auto truth = value.as_bool()) return slot.set(*truth);
        return wrong_type(schema.type, value);
      case Type::kInt32:
      case Type::kInt64:
        return decode_integer(schema.type, value, slot);
      case Type::kDouble: {
        const auto number = value.is_null() ? 0.0 : value.as_double();
        if (!number || !std::isfinite(*number)) return wrong_type(schema.type, value);
        return slot.set(*number);
      }
      case Type::kBytes:
        return decode_bytes(value, slot);
      case Type::kQuantity:
        return decode_quantity(value, slot.mutable_message());
      case Type::kTime:
      case Type::kMicroTime:
        return decode_time(schema.type, value, slot.mutable_message());
      case Type::kIntOrString:
        return decode_int_or_string(value, slot.mutable_message());
      case Type::kRaw: {
        std::string text = write_json(value);
        text.shrink_to_fit();  // who reads many objects keeps many of these
        return api::slot(slot.mutable_message(), 1).set(std::move(text));
      }
      case Type::kList: {
        pb::Message* message = slot.mutable_message();
        if (!value.is_null()) decode_list(schema, value, api::slot(message, 1));
        return;
      }
      case Type::kMap:
        return wrong_type(schema.type, value);  // no type of the API nests them without a struct between
    }
  }

  void wrong_string(const Value& value) {
    const bool scalar = !value.is_list() && !value.is_object();
    problem(Kind::kWrongType, cat("expected a string, found ", describe(value), scalar ? "; put it in quotes" : ""),
            value.position());
  }

  void decode_integer(Type type, const Value& value, const Slot& slot) {
    if (value.is_null()) return type == Type::kInt32 ? slot.set(int32_t{0}) : slot.set(int64_t{0});
    if (value.kind() != Value::Kind::kInteger) return wrong_type(type, value);
    const auto number = value.as_int64();
    if (type == Type::kInt64 && number) return slot.set(*number);
    using Small = std::numeric_limits<int32_t>;
    if (type == Type::kInt32 && number && *number >= Small::min() && *number <= Small::max()) {
      return slot.set(static_cast<int32_t>(*number));
    }
    problem(Kind::kWrongType,
            cat("expected an integer of ", type == Type::kInt32 ? 32 : 64, " bits, found ", describe(value)),
            value.position());
  }

  void decode_bytes(const Value& value, const Slot& slot) {
    if (value.is_null()) return slot.set(std::string());
    const std::string* text = value.as_string();
    if (text == nullptr) return wrong_type(Type::kBytes, value);
    auto bytes = decode_base64(*text);
    if (!bytes) return problem(Kind::kWrongType, cat("expected base64, found ", quoted(*text)), value.position());
    slot.set(std::move(*bytes));
  }

  void decode_quantity(const Value& value, pb::Message* message) {
    if (value.is_null()) return;
    const std::string* text = value.as_string();
    const auto number = value.number_text();
    if (text == nullptr && !number) return wrong_type(Type::kQuantity, value);
    Result<std::string> canonical = canonical_quantity(text != nullptr ? *text : *number);
    if (!canonical) return problem(Kind::kWrongType, canonical.error().message(), value.position());
    slot(message, 1).set(std::move(*canonical));
  }

  void decode_duration(const Value& value, pb::Message* message) {
    if (value.is_null()) return;
    const std::string* text = value.as_string();
    if (text == nullptr) return wrong_type(Type::kString, value);
    if (Status read = read_duration(*text, message); !read) {
      problem(Kind::kWrongType, read.error().message(), value.position());
    }
  }

  void decode_time(Type type, const Value& value, pb::Message* message) {
    if (value.is_null()) return;
    const std::string* text = value.as_string();
    if (text == nullptr) return wrong_type(type, value);
    const Result<Timestamp> time = parse_rfc3339(*text);
    if (!time) return problem(Kind::kWrongType, time.error().message(), value.position());
    if (type == Type::kMicroTime && !has_micro_fraction(*text)) return wrong_type(type, value);
    const int32_t nanos = type == Type::kMicroTime ? time->nanos / 1000 * 1000 : 0;
    if (time->seconds == kZeroTime && nanos == 0) return;
    slot(message, 1).set(time->seconds);
    slot(message, 2).set(nanos);
  }

  void decode_int_or_string(const Value& value, pb::Message* message) {
    if (value.is_null()) return;
    if (const std::string* text = value.as_string()) {
      slot(message, 1).set(int64_t{1});
      return slot(message, 3).set(*text);
    }
    if (value.kind() != Value::Kind::kInteger) return wrong_type(Type::kIntOrString, value);
    decode_integer(Type::kInt32, value, slot(message, 2));
  }

  const DecodeOptions& options_;
  FieldProblems* problems_;
  FieldProblems errors_;  // those that fail the decode
  size_t error_count_ = 0;
  size_t reported_ = 0;
  bool failed_ = false;
  std::string path_;
};

}  // namespace

Status decode(const Schema& schema, const Value& value, google::protobuf::Message* message,
              const DecodeOptions& options, FieldProblems* problems) {
  message->Clear();
  Decoder decoder(options, problems);
  decoder.decode_root(schema, value, message);
  if (!decoder.failed()) return normalize(message);
  std::string summary = summarize(decoder.errors());
  if (decoder.error_count() > decoder.errors().size()) {
    summary += cat(" (", decoder.error_count(), " problems in all)");
  }
  return invalid_argument(std::move(summary));
}

Status decode(const Value& value, google::protobuf::Message* message, const DecodeOptions& options,
              FieldProblems* problems) {
  return decode(schema_of(*message->GetDescriptor()), value, message, options, problems);
}

}  // namespace gantry::api
