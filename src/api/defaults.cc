// SPDX-License-Identifier: Apache-2.0
#include "api/defaults.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "api/json.h"
#include "api/schema.h"

namespace gantry::api {

namespace {

namespace pb = google::protobuf;

void visit(const Schema& schema, pb::Message* message);

bool is_unset(const Schema::Field& field, const pb::Message& message, const pb::FieldDescriptor* descriptor) {
  const pb::Reflection& reflection = *message.GetReflection();
  if (field.presence == Schema::Presence::kPointer) return !reflection.HasField(message, descriptor);
  switch (field.type->type) {
    case Schema::Type::kString:
      return reflection.GetString(message, descriptor).empty();
    case Schema::Type::kInt32:
      return reflection.GetInt32(message, descriptor) == 0;
    case Schema::Type::kInt64:
      return reflection.GetInt64(message, descriptor) == 0;
    case Schema::Type::kBool:
      return !reflection.GetBool(message, descriptor);
    default:
      return false;
  }
}

void set_default(const Schema::Field& field, pb::Message* message, const pb::FieldDescriptor* descriptor) {
  const pb::Reflection& reflection = *message->GetReflection();
  const Result<Value> value = parse_json(field.default_json);
  if (!value) return;  // the tests read every default of every schema
  switch (field.type->type) {
    case Schema::Type::kString:
      if (value->is_string()) reflection.SetString(message, descriptor, *value->as_string());
      return;
    case Schema::Type::kInt32:
      if (const auto number = value->as_int64())
        reflection.SetInt32(message, descriptor, static_cast<int32_t>(*number));
      return;
    case Schema::Type::kInt64:
      if (const auto number = value->as_int64()) reflection.SetInt64(message, descriptor, *number);
      return;
    case Schema::Type::kBool:
      if (const auto truth = value->as_bool()) reflection.SetBool(message, descriptor, *truth);
      return;
    default:
      return;
  }
}

void visit_repeated(const Schema& type, pb::Message* message, const pb::FieldDescriptor* descriptor) {
  if (type.type != Schema::Type::kList || type.element->type != Schema::Type::kStruct) return;
  const pb::Reflection& reflection = *message->GetReflection();
  for (int i = 0; i < reflection.FieldSize(*message, descriptor); ++i) {
    visit(*type.element, reflection.MutableRepeatedMessage(message, descriptor, i));
  }
}

void visit(const Schema& schema, pb::Message* message) {
  for (const Schema::Field& field : schema.fields) {
    pb::Message* owner = message;
    for (size_t i = 0; i + 1 < field.path.size(); ++i) {
      owner = owner->GetReflection()->MutableMessage(owner, field.path[i]);
    }
    const pb::FieldDescriptor* descriptor = field.path.back();
    if (descriptor->is_repeated()) {
      visit_repeated(*field.type, owner, descriptor);
    } else if (field.type->type == Schema::Type::kStruct) {
      if (owner->GetReflection()->HasField(*owner, descriptor)) {
        visit(*field.type, owner->GetReflection()->MutableMessage(owner, descriptor));
      }
    } else if (!field.default_json.empty() && is_unset(field, *owner, descriptor)) {
      set_default(field, owner, descriptor);
    }
  }
}

}  // namespace

void apply_constant_defaults(google::protobuf::Message* message) {
  visit(schema_of(*message->GetDescriptor()), message);
}

}  // namespace gantry::api
