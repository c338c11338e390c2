// SPDX-License-Identifier: Apache-2.0
#include "api/documents/openapi_schemas.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>

#include "api/duration.h"
#include "api/json.h"
#include "base/text.h"

namespace gantry::api {

namespace {

using Type = Schema::Type;
using Merge = Schema::Merge;

constexpr std::string_view kApiVersionText =
    "The version of the API that the document is written for, such as apps/v1.";
constexpr std::string_view kKindText = "What the document describes, such as Deployment.";
constexpr std::string_view kPatchName = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";

Value simple(std::string_view type, std::string_view format = {}) {
  Value value = Value::object({{"type", type}});
  if (!format.empty()) value["format"] = format;
  return value;
}

Value one_of(std::string_view first, std::string_view second) {
  Value::List list;
  list.push_back(simple(first));
  list.push_back(simple(second));
  return Value::object({{"oneOf", std::move(list)}});
}

// Types with a name and no fields of their own.
Value named_scalar(Type type, OpenApiDialect dialect) {
  const bool v2 = dialect == OpenApiDialect::kV2;
  switch (type) {
    case Type::kQuantity:
      return v2 ? simple("string") : one_of("string", "number");
    case Type::kTime:
    case Type::kMicroTime:
      return simple("string", "date-time");
    case Type::kIntOrString: {
      Value value = v2 ? simple("string") : one_of("integer", "string");
      value["format"] = "int-or-string";
      return value;
    }
    default:
      return simple("object");
  }
}

std::string_view list_type(Merge merge) {
  switch (merge) {
    case Merge::kAtomic:
      return "atomic";
    case Merge::kSet:
      return "set";
    case Merge::kByKey:
      return "map";
    default:
      return {};
  }
}

Value strings(const std::vector<std::string>& texts) {
  Value::List list;
  for (const std::string& text : texts) list.emplace_back(text);
  return list;
}

void add_merging(const Schema::Field& field, Value* out) {
  if (field.type->type == Type::kList) {
    if (!field.list_keys.empty()) (*out)["x-kubernetes-list-map-keys"] = strings(field.list_keys);
    const std::string_view name = list_type(field.merge);
    if (!name.empty()) (*out)["x-kubernetes-list-type"] = name;
  } else if (field.merge != Merge::kDefault) {
    (*out)["x-kubernetes-map-type"] = field.merge == Merge::kAtomic ? "atomic" : "granular";
  }
  if (!field.patch_merge_key.empty()) (*out)["x-kubernetes-patch-merge-key"] = field.patch_merge_key;
  std::string strategies;
  for (const std::string& strategy : field.patch_strategies) {
    strategies += cat(strategies.empty() ? "" : ",", strategy);
  }
  if (!strategies.empty()) (*out)["x-kubernetes-patch-strategy"] = strategies;
}

// The zero that a value has which is always there, in the words of the schema.
std::optional<Value> zero(Type type) {
  switch (type) {
    case Type::kString:
      return Value("");
    case Type::kBool:
      return Value(false);
    case Type::kInt32:
    case Type::kInt64:
    case Type::kDouble:
      return Value(0);
    case Type::kStruct:
      return Value(Value::Object());
    default:
      return std::nullopt;
  }
}

bool is_required(const Schema::Field& field) {
  return field.required || (!field.optional && field.emit == Schema::Emit::kAlways);
}

Value group_version_kind(const Schema& schema) {
  const size_t slash = schema.api_version.find('/');
  const bool core = slash == std::string::npos;
  Value::List list;
  list.push_back(Value::object({{"group", core ? "" : schema.api_version.substr(0, slash)},
                                {"kind", schema.kind},
                                {"version", core ? schema.api_version : schema.api_version.substr(slash + 1)}}));
  return list;
}

}  // namespace

std::string openapi_name(std::string_view message_name) {
  constexpr std::string_view kPrefix = "k8s.io.";
  return message_name.starts_with(kPrefix) ? cat("io.k8s.", message_name.substr(kPrefix.size()))
                                           : std::string(message_name);
}

Value OpenApiSchemas::reference_to(const std::string& name) const {
  return Value::object(
      {{"$ref", cat(dialect_ == OpenApiDialect::kV2 ? "#/definitions/" : "#/components/schemas/", name)}});
}

Value OpenApiSchemas::reference(const Schema& schema) {
  define(schema);
  return reference_to(openapi_name(schema.name));
}

Value OpenApiSchemas::patch_reference() {
  std::string name(kPatchName);
  if (known_.insert(name).second) definitions_.emplace_back(name, simple("object"));
  return reference_to(name);
}

Value OpenApiSchemas::take_definitions() {
  std::ranges::sort(definitions_, {}, &Value::Member::key);
  known_.clear();
  return std::exchange(definitions_, {});
}

void OpenApiSchemas::define(const Schema& schema) {
  const std::string name = openapi_name(schema.name);
  if (!known_.insert(name).second) return;
  Value made = definition(schema);
  definitions_.emplace_back(name, std::move(made));
}

Value OpenApiSchemas::definition(const Schema& schema) {
  Value out = Value::object({});
  if (const std::string_view text = describe_(schema.name); !text.empty()) out["description"] = text;
  if (schema.type != Type::kStruct || is_duration(schema)) {
    Value scalar = is_duration(schema) ? simple("string") : named_scalar(schema.type, dialect_);
    for (Value::Member& member : *scalar.as_object()) out[member.key] = std::move(member.value);
    return out;
  }
  out["type"] = "object";
  Value::List required;
  Value fields = properties(schema, &required);
  if (!fields.as_object()->empty()) out["properties"] = std::move(fields);
  if (!required.empty()) out["required"] = std::move(required);
  if (!schema.kind.empty()) out["x-kubernetes-group-version-kind"] = group_version_kind(schema);
  if (schema.merge == Merge::kAtomic) out["x-kubernetes-map-type"] = "atomic";
  return out;
}

Value OpenApiSchemas::properties(const Schema& schema, Value::List* required) {
  Value::Object out;
  if (!schema.kind.empty()) {
    for (const auto& [name, text] : {std::pair{"apiVersion", kApiVersionText}, {"kind", kKindText}}) {
      Value text_property = simple("string");
      text_property["description"] = text;
      out.emplace_back(name, std::move(text_property));
    }
  }
  std::vector<std::string> names;
  for (const Schema::Field& field : schema.fields) {
    out.emplace_back(field.name, property(field));
    if (is_required(field)) names.push_back(field.name);
  }
  std::ranges::sort(out, {}, &Value::Member::key);
  std::ranges::sort(names);
  for (std::string& name : names) required->emplace_back(std::move(name));
  return out;
}

Value OpenApiSchemas::property(const Schema::Field& field) {
  const bool struct_value = field.type->type == Type::kStruct && !is_duration(*field.type) &&
                            field.presence == Schema::Presence::kValue;
  const bool has_default = struct_value || (field.presence == Schema::Presence::kValue && is_required(field));
  Value out = type(*field.type, has_default);
  if (!field.default_json.empty()) {
    if (Result<Value> constant = parse_json(field.default_json)) out["default"] = std::move(*constant);
  }
  add_merging(field, &out);
  if (field.path.empty()) return out;
  return describe_as(std::move(out), field.path.back()->full_name());
}

// In version 3 nothing may stand beside a reference, so one that needs company is wrapped.
Value OpenApiSchemas::describe_as(Value schema, std::string_view name) {
  const std::string_view text = describe_(name);
  if (!text.empty()) schema["description"] = text;
  if (dialect_ == OpenApiDialect::kV2 || schema.as_object()->size() == 1 || schema.find("$ref") == nullptr) {
    return schema;
  }
  Value out = Value::object({});
  for (Value::Member& member : *schema.as_object()) {
    if (member.key == "$ref") {
      Value::List all;
      all.push_back(Value::object({{"$ref", std::move(member.value)}}));
      out["allOf"] = std::move(all);
    } else {
      out[member.key] = std::move(member.value);
    }
  }
  return out;
}

Value OpenApiSchemas::type(const Schema& schema, bool has_default) {
  Value out;
  switch (schema.type) {
    case Type::kMap:
      out = simple("object");
      out["additionalProperties"] = describe_as(type(*schema.element, true), {});
      return out;
    case Type::kList:
      out = simple("array");
      out["items"] = describe_as(type(*schema.element, true), {});
      return out;
    case Type::kString:
      out = simple("string");
      break;
    case Type::kBool:
      out = simple("boolean");
      break;
    case Type::kInt32:
      out = simple("integer", "int32");
      break;
    case Type::kInt64:
      out = simple("integer", "int64");
      break;
    case Type::kDouble:
      out = simple("number", "double");
      break;
    case Type::kBytes:
      return simple("string", "byte");
    default:
      out = reference(schema);
  }
  // Swagger 2.0's tools complain of defaults beside references.
  const std::optional<Value> value = has_default ? zero(schema.type) : std::nullopt;
  if (value && (dialect_ == OpenApiDialect::kV3 || schema.type != Type::kStruct)) out["default"] = *value;
  return out;
}

}  // namespace gantry::api
