// SPDX-License-Identifier: Apache-2.0
#include "api/schema.h"

#include <google/protobuf/descriptor.h>

#include <deque>
#include <map>
#include <mutex>

#include "api/duration.h"
#include "kubernetes/options.pb.h"

namespace gantry::api {

namespace {

namespace pb = google::protobuf;
namespace options = gantry::kubernetes;
using Type = Schema::Type;
using Path = std::vector<const pb::FieldDescriptor*>;

Schema::Merge merge_of(options::Granularity granularity) {
  switch (granularity) {
    case options::ATOMIC:
      return Schema::Merge::kAtomic;
    case options::GRANULAR:
      return Schema::Merge::kGranular;
    case options::GRANULARITY_UNSPECIFIED:
      break;
  }
  return Schema::Merge::kDefault;
}

Schema::Merge merge_of(const options::Field& field) {
  switch (field.list_type()) {
    case options::LIST_ATOMIC:
      return Schema::Merge::kAtomic;
    case options::LIST_SET:
      return Schema::Merge::kSet;
    case options::LIST_MAP:
      return Schema::Merge::kByKey;
    case options::LIST_UNSPECIFIED:
      break;
  }
  return merge_of(field.has_map_type() ? field.map_type() : field.struct_type());
}

Schema::Presence presence_of(const pb::FieldDescriptor& field, const options::Field& option) {
  const pb::Descriptor* type = field.is_map() ? nullptr : field.message_type();
  if (type != nullptr && type->options().GetExtension(options::message).json_form() == options::STRINGS) {
    return Schema::Presence::kList;
  }
  if (option.has_go()) {
    switch (option.go()) {
      case options::VALUE:
        return Schema::Presence::kValue;
      case options::POINTER:
        return Schema::Presence::kPointer;
      case options::LIST:
        return Schema::Presence::kList;
      case options::MAP:
        return Schema::Presence::kMap;
    }
  }
  if (field.is_map()) return Schema::Presence::kMap;
  if (field.is_repeated() || field.type() == pb::FieldDescriptor::TYPE_BYTES) return Schema::Presence::kList;
  return Schema::Presence::kValue;
}

Schema::Emit emit_of(options::Emit emit) {
  switch (emit) {
    case options::ALWAYS:
      return Schema::Emit::kAlways;
    case options::OMITZERO:
      return Schema::Emit::kOmitZero;
    case options::OMITEMPTY:
      break;
  }
  return Schema::Emit::kOmitEmpty;
}

Type type_of(options::JsonForm form) {
  switch (form) {
    case options::QUANTITY:
      return Type::kQuantity;
    case options::TIME:
      return Type::kTime;
    case options::MICRO_TIME:
      return Type::kMicroTime;
    case options::INT_OR_STRING:
      return Type::kIntOrString;
    case options::RAW_JSON:
      return Type::kRaw;
    case options::STRINGS:
      return Type::kList;
    case options::STRUCT:
      break;
  }
  return Type::kStruct;
}

Type scalar_type(const pb::FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case pb::FieldDescriptor::CPPTYPE_BOOL:
      return Type::kBool;
    case pb::FieldDescriptor::CPPTYPE_INT32:
      return Type::kInt32;
    case pb::FieldDescriptor::CPPTYPE_INT64:
      return Type::kInt64;
    case pb::FieldDescriptor::CPPTYPE_DOUBLE:
      return Type::kDouble;
    default:
      return field.type() == pb::FieldDescriptor::TYPE_BYTES ? Type::kBytes : Type::kString;
  }
}

// The graph of all messages that were ever asked for. Nodes never move and never change once schema_of returned them.
class Graph {
 public:
  const Schema& of(const pb::Descriptor& message) {
    const std::scoped_lock lock(mutex_);
    return *message_schema(message);
  }

 private:
  const Schema* message_schema(const pb::Descriptor& message) {
    const auto [known, added] = messages_.try_emplace(&message);
    if (!added) return known->second;
    Schema& schema = nodes_.emplace_back();
    known->second = &schema;  // before its fields: a type may hold itself
    const options::Message& option = message.options().GetExtension(options::message);
    schema.type = type_of(option.json_form());
    schema.name = message.full_name();
    schema.merge = merge_of(option.struct_type());
    schema.api_version = option.api_version();
    schema.kind = option.kind();
    schema.any_version = option.any_version();
    if (schema.type == Type::kList) schema.element = scalar(Type::kString);
    if (schema.type != Type::kStruct || is_duration(schema)) return &schema;
    add_fields(message, {}, &schema);
    for (uint32_t i = 0; i < schema.fields.size(); ++i) schema.index.emplace(schema.fields[i].name, i);
    return &schema;
  }

  void add_fields(const pb::Descriptor& message, const Path& prefix, Schema* schema) {
    for (int i = 0; i < message.field_count(); ++i) {
      const pb::FieldDescriptor& field = *message.field(i);
      const options::Field& option = field.options().GetExtension(options::field);
      Path path = prefix;
      path.push_back(&field);
      if (option.inline_()) {
        add_fields(*field.message_type(), path, schema);
        continue;
      }
      Schema::Field& out = schema->fields.emplace_back();
      out.name = field.json_name();
      out.presence = presence_of(field, option);
      out.emit = emit_of(option.emit());
      out.optional = option.optional();
      out.required = option.required();
      out.union_discriminator = option.union_discriminator();
      out.merge = merge_of(option);
      out.list_keys.assign(option.list_keys().begin(), option.list_keys().end());
      out.patch_merge_key = option.patch_merge_key();
      out.patch_strategies.assign(option.patch_strategy().begin(), option.patch_strategy().end());
      out.default_json = option.default_json();
      out.path = std::move(path);
      const size_t index = schema->fields.size() - 1;
      // field_schema may come back to this very message; `out` is not used after it.
      const Schema* type = field_schema(field);
      schema->fields[index].type = type;
    }
  }

  const Schema* field_schema(const pb::FieldDescriptor& field) {
    if (field.is_map()) return container(Type::kMap, element_schema(*field.message_type()->map_value()));
    const Schema* element = element_schema(field);
    return field.is_repeated() ? container(Type::kList, element) : element;
  }

  const Schema* element_schema(const pb::FieldDescriptor& field) {
    if (field.message_type() != nullptr) return message_schema(*field.message_type());
    return scalar(scalar_type(field));
  }

  const Schema* scalar(Type type) {
    const auto [known, added] = scalars_.try_emplace(type);
    if (added) {
      Schema& schema = nodes_.emplace_back();
      schema.type = type;
      known->second = &schema;
    }
    return known->second;
  }

  const Schema* container(Type type, const Schema* element) {
    const auto [known, added] = containers_.try_emplace({type, element});
    if (added) {
      Schema& schema = nodes_.emplace_back();
      schema.type = type;
      schema.element = element;
      known->second = &schema;
    }
    return known->second;
  }

  std::mutex mutex_;
  std::deque<Schema> nodes_;
  std::map<const pb::Descriptor*, const Schema*> messages_;
  std::map<Type, const Schema*> scalars_;
  std::map<std::pair<Type, const Schema*>, const Schema*> containers_;
};

}  // namespace

const Schema::Field* Schema::find(std::string_view field_name) const {
  const auto found = index.find(field_name);
  return found == index.end() ? nullptr : &fields[found->second];
}

const Schema& schema_of(const google::protobuf::Descriptor& descriptor) {
  // Never destroyed, as the descriptors are not.
  static Graph& graph = *new Graph;
  return graph.of(descriptor);
}

std::string_view expectation(Schema::Type type) {
  switch (type) {
    case Type::kStruct:
    case Type::kMap:
      return "an object";
    case Type::kList:
      return "a list";
    case Type::kString:
      return "a string";
    case Type::kBool:
      return "true or false";
    case Type::kInt32:
    case Type::kInt64:
      return "an integer";
    case Type::kDouble:
      return "a number";
    case Type::kBytes:
      return "a string in base64";
    case Type::kQuantity:
      return "a quantity such as 100m or 512Mi";
    case Type::kTime:
      return "a time such as 2026-01-02T03:04:05Z";
    case Type::kMicroTime:
      return "a time such as 2026-01-02T03:04:05.000000Z";
    case Type::kIntOrString:
      return "an integer or a string";
    case Type::kRaw:
      return "a value";
  }
  return "a value";
}

}  // namespace gantry::api
