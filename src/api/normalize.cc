// SPDX-License-Identifier: Apache-2.0
// The one form of a message, and the envelope in which it is stored and sent.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

#include <optional>

#include "api/codec.h"
#include "api/duration.h"
#include "api/json.h"
#include "api/quantity.h"
#include "api/text.h"
#include "api/time.h"
#include "kubernetes/runtime/runtime.pb.h"

namespace gantry::api {

namespace {

namespace pb = google::protobuf;
using Type = Schema::Type;
using k8s::io::apimachinery::pkg::runtime::Unknown;

constexpr std::string_view kMagic{"k8s\0", 4};
constexpr int64_t kZeroTime = -62135596800;  // 0001-01-01T00:00:00Z

const pb::FieldDescriptor* by_number(const pb::Message& message, int number) {
  return message.GetDescriptor()->FindFieldByNumber(number);
}

class Normalizer {
 public:
  Status run(const Schema& schema, pb::Message* message) {
    visit_message(schema, message);
    if (error_) return invalid_argument(std::move(*error_));
    return {};
  }

 private:
  // Only the first error is kept: these are not what people write by hand.
  void fail_here(std::string_view what) {
    if (!error_) error_ = path_.empty() ? std::string(what) : cat(path(), ": ", what);
  }

  // "spec.containers[0].image"
  std::string path() const {
    std::string text;
    for (const Step& step : path_) {
      if (step.name == nullptr) {
        text += cat('[', step.index, ']');
      } else {
        text += cat(text.empty() ? "" : ".", *step.name);
      }
    }
    return text;
  }

  void check_text(const std::string& text) {
    if (!is_utf8(text)) fail_here(cat("the string ", quoted(text), " is not UTF-8"));
  }

  // Asked for to be changed, it would be made, in every message of every object.
  static void drop_unknown(pb::Message* message) {
    const pb::Reflection& reflection = *message->GetReflection();
    if (!reflection.GetUnknownFields(*message).empty()) reflection.MutableUnknownFields(message)->Clear();
  }

  void visit_message(const Schema& schema, pb::Message* message) {
    drop_unknown(message);
    switch (schema.type) {
      case Type::kQuantity:
        return visit_quantity(message);
      case Type::kTime:
      case Type::kMicroTime:
        return visit_time(schema.type, message);
      case Type::kIntOrString:
        return visit_int_or_string(message);
      case Type::kRaw:
        return visit_raw(message);
      case Type::kList:
        return visit_repeated(schema, message, by_number(*message, 1));
      default:
        if (is_duration(schema)) return visit_duration(message);
        for (const Schema::Field& field : schema.fields) visit_field(field, message);
    }
  }

  void visit_field(const Schema::Field& field, pb::Message* message) {
    path_.push_back({.name = &field.name});
    for (size_t i = 0; i + 1 < field.path.size(); ++i) {
      message = message->GetReflection()->MutableMessage(message, field.path[i]);
      drop_unknown(message);
    }
    const pb::FieldDescriptor* descriptor = field.path.back();
    if (descriptor->is_repeated()) {
      visit_repeated(*field.type, message, descriptor);
    } else {
      visit_singular(field, message, descriptor);
    }
    path_.pop_back();
  }

  void visit_repeated(const Schema& schema, pb::Message* message, const pb::FieldDescriptor* field) {
    const pb::Reflection& reflection = *message->GetReflection();
    const int size = reflection.FieldSize(*message, field);
    const bool is_message = field->message_type() != nullptr;
    if (!is_message && schema.element->type != Type::kString) return;
    for (int i = 0; i < size; ++i) {
      path_.push_back({.index = i});
      if (field->is_map()) {
        visit_entry(*schema.element, reflection.MutableRepeatedMessage(message, field, i));
      } else if (is_message) {
        visit_message(*schema.element, reflection.MutableRepeatedMessage(message, field, i));
      } else {
        check_text(reflection.GetRepeatedStringReference(*message, field, i, &scratch_));
      }
      path_.pop_back();
    }
  }

  void visit_entry(const Schema& schema, pb::Message* entry) {
    const pb::Reflection& reflection = *entry->GetReflection();
    const pb::Descriptor& shape = *entry->GetDescriptor();
    check_text(reflection.GetStringReference(*entry, shape.map_key(), &scratch_));
    if (shape.map_value()->message_type() != nullptr) {
      visit_message(schema, reflection.MutableMessage(entry, shape.map_value()));
    } else if (schema.type == Type::kString) {
      check_text(reflection.GetStringReference(*entry, shape.map_value(), &scratch_));
    }
  }

  void visit_singular(const Schema::Field& field, pb::Message* message, const pb::FieldDescriptor* descriptor) {
    const pb::Reflection& reflection = *message->GetReflection();
    const bool set = reflection.HasField(*message, descriptor);
    if (!set && field.presence != Schema::Presence::kValue) return;
    if (descriptor->message_type() != nullptr) {
      pb::Message* inner = reflection.MutableMessage(message, descriptor);
      visit_message(*field.type, inner);
      const bool empty_list = field.type->type == Type::kList && inner->ByteSizeLong() == 0;
      if (empty_list) reflection.ClearField(message, descriptor);
      return;
    }
    if (set && field.type->type == Type::kString) {
      return check_text(reflection.GetStringReference(*message, descriptor, &scratch_));
    }
    if (!set) set_zero(message, descriptor);
  }

  static void set_zero(pb::Message* message, const pb::FieldDescriptor* field) {
    const pb::Reflection& reflection = *message->GetReflection();
    switch (field->cpp_type()) {
      case pb::FieldDescriptor::CPPTYPE_STRING:
        return reflection.SetString(message, field, "");
      case pb::FieldDescriptor::CPPTYPE_BOOL:
        return reflection.SetBool(message, field, false);
      case pb::FieldDescriptor::CPPTYPE_INT32:
        return reflection.SetInt32(message, field, 0);
      case pb::FieldDescriptor::CPPTYPE_INT64:
        return reflection.SetInt64(message, field, 0);
      case pb::FieldDescriptor::CPPTYPE_DOUBLE:
        return reflection.SetDouble(message, field, 0);
      default:
        return;  // the API has no other scalars
    }
  }

  void visit_quantity(pb::Message* message) {
    const pb::Reflection& reflection = *message->GetReflection();
    const pb::FieldDescriptor* field = by_number(*message, 1);
    const std::string text = reflection.GetString(*message, field);
    Result<std::string> canonical = canonical_quantity(text.empty() ? "0" : text);
    if (!canonical) return fail_here(canonical.error().message());
    reflection.SetString(message, field, std::move(*canonical));
  }

  // Held by value: always written.
  static void visit_duration(pb::Message* message) {
    const pb::FieldDescriptor* field = by_number(*message, 1);
    message->GetReflection()->SetInt64(message, field, message->GetReflection()->GetInt64(*message, field));
  }

  void visit_time(Type type, pb::Message* message) {
    const pb::Reflection& reflection = *message->GetReflection();
    const pb::FieldDescriptor* seconds_field = by_number(*message, 1);
    const pb::FieldDescriptor* nanos_field = by_number(*message, 2);
    if (!reflection.HasField(*message, seconds_field) && !reflection.HasField(*message, nanos_field)) return;
    const int64_t seconds = reflection.GetInt64(*message, seconds_field);
    int32_t nanos = reflection.GetInt32(*message, nanos_field);
    if (!is_representable(seconds) || nanos < 0 || nanos > 999'999'999) {
      return fail_here(cat("the time ", seconds, " s ", nanos, " ns is outside the years 0000 to 9999"));
    }
    nanos = type == Type::kMicroTime ? nanos / 1000 * 1000 : 0;
    // Upstream reads both of these from protobuf as no time, and writes no time as nothing.
    if (nanos == 0 && (seconds == 0 || seconds == kZeroTime)) {
      reflection.ClearField(message, seconds_field);
      return reflection.ClearField(message, nanos_field);
    }
    reflection.SetInt64(message, seconds_field, seconds);
    reflection.SetInt32(message, nanos_field, nanos);
  }

  void visit_int_or_string(pb::Message* message) {
    const pb::Reflection& reflection = *message->GetReflection();
    for (const int number : {1, 2, 3}) {
      const pb::FieldDescriptor* field = by_number(*message, number);
      if (!reflection.HasField(*message, field)) set_zero(message, field);
    }
    const int64_t type = reflection.GetInt64(*message, by_number(*message, 1));
    if (type != 0 && type != 1) fail_here(cat("an int-or-string of type ", type));
    check_text(reflection.GetString(*message, by_number(*message, 3)));
  }

  void visit_raw(pb::Message* message) {
    const std::string& text = message->GetReflection()->GetStringReference(*message, by_number(*message, 1), &scratch_);
    if (text.empty() || is_json(text)) return;
    if (const Result<Value> value = parse_json(text); !value) fail_here(value.error().message());
  }

  // A field, or where `name` is null an element of a list. Made to a text only for an error.
  struct Step {
    const std::string* name = nullptr;
    int index = 0;
  };
  std::vector<Step> path_;
  std::string scratch_;  // where reflection puts what it can't refer to
  std::optional<std::string> error_;
};

// Map entries in the order of their keys, as upstream writes them.
std::string serialize(const pb::Message& message) {
  std::string bytes;
  pb::io::StringOutputStream stream(&bytes);
  pb::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

}  // namespace

Status normalize(google::protobuf::Message* message) {
  return Normalizer().run(schema_of(*message->GetDescriptor()), message);
}

Result<std::string> encode_protobuf(google::protobuf::Message* message) {
  const Schema& schema = schema_of(*message->GetDescriptor());
  if (Status status = normalize(message); !status) return fail_with(std::move(status.error()), schema.kind);
  Unknown envelope;
  envelope.mutable_type_meta()->set_api_version(schema.api_version);
  envelope.mutable_type_meta()->set_kind(schema.kind);
  envelope.set_raw(serialize(*message));
  envelope.set_content_encoding("");
  envelope.set_content_type("");
  std::string bytes(kMagic);
  bytes += serialize(envelope);
  return bytes;
}

namespace {

Status read_envelope(std::string_view bytes, google::protobuf::Message* message) {
  const Schema& schema = schema_of(*message->GetDescriptor());
  message->Clear();
  if (!bytes.starts_with(kMagic))
    return invalid_argument("no Kubernetes protobuf envelope: it does not begin with k8s\\0");
  bytes.remove_prefix(kMagic.size());
  Unknown envelope;
  if (!envelope.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return invalid_argument("the Kubernetes protobuf envelope does not parse");
  }
  const auto& type = envelope.type_meta();
  const bool right_version = schema.any_version || type.api_version() == schema.api_version;
  if (!right_version || type.kind() != schema.kind) {
    return invalid_argument(cat("expected ", schema.api_version, ' ', schema.kind, ", found ",
                                quoted(type.api_version()), ' ', quoted(type.kind())));
  }
  if (!envelope.content_encoding().empty()) {
    return invalid_argument(cat("the content encoding ", quoted(envelope.content_encoding()), " is not supported"));
  }
  if (!message->ParseFromString(envelope.raw())) {
    return invalid_argument(cat("the protobuf bytes of a ", schema.kind, " do not parse"));
  }
  return {};
}

}  // namespace

Status decode_protobuf(std::string_view bytes, google::protobuf::Message* message) {
  if (Status status = read_envelope(bytes, message); !status) return status;
  if (Status status = normalize(message); !status) {
    return fail_with(std::move(status.error()), schema_of(*message->GetDescriptor()).kind);
  }
  return {};
}

Status decode_stored(std::string_view bytes, google::protobuf::Message* message) {
  return read_envelope(bytes, message);
}

}  // namespace gantry::api
