// SPDX-License-Identifier: Apache-2.0
// The document of Swagger 2.0 as a message. It is read as we have written it (openapi_schemas.cc, openapi_paths.cc):
// what they don't write is not looked for.
#include <functional>

#include "api/documents/openapi.h"
#include "api/json.h"
#include "openapi/v2.pb.h"

namespace gantry::api {

namespace {

namespace v2 = openapi::v2;

std::string text(const Value& value) { return value.is_string() ? *value.as_string() : std::string(); }

// JSON is YAML.
void set_any(const Value& value, v2::Any* out) { out->set_yaml(write_json(value) + "\n"); }

// Calls `visit` for each element.
void each(const Value& list, const std::function<void(const Value&)>& visit) {
  if (const Value::List* elements = list.as_list()) {
    for (const Value& element : *elements) visit(element);
  }
}

template <typename Message>
void add_extension(const Value::Member& member, Message* out) {
  if (!member.key.starts_with("x-")) return;
  v2::NamedAny* extension = out->add_vendor_extension();
  extension->set_name(member.key);
  set_any(member.value, extension->mutable_value());
}

void set_schema(const Value& value, v2::Schema* out) {
  if (!value.is_object()) return;
  for (const Value::Member& member : *value.as_object()) {
    if (member.key == "$ref") out->set__ref(text(member.value));
    if (member.key == "format") out->set_format(text(member.value));
    if (member.key == "description") out->set_description(text(member.value));
    if (member.key == "default") set_any(member.value, out->mutable_default_());
    if (member.key == "type") out->mutable_type()->add_value(text(member.value));
    if (member.key == "items") set_schema(member.value, out->mutable_items()->add_schema());
    if (member.key == "required") each(member.value, [&](const Value& name) { out->add_required(text(name)); });
    if (member.key == "additionalProperties") {
      set_schema(member.value, out->mutable_additional_properties()->mutable_schema());
    }
    if (member.key == "properties") {
      for (const Value::Member& property : *member.value.as_object()) {
        v2::NamedSchema* named = out->mutable_properties()->add_additional_properties();
        named->set_name(property.key);
        set_schema(property.value, named->mutable_value());
      }
    }
    add_extension(member, out);
  }
}

template <typename Message>
void set_simple_parameter(const Value& value, Message* out) {
  for (const Value::Member& member : *value.as_object()) {
    if (member.key == "name") out->set_name(text(member.value));
    if (member.key == "in") out->set_in(text(member.value));
    if (member.key == "description") out->set_description(text(member.value));
    if (member.key == "type") out->set_type(text(member.value));
    if (member.key == "uniqueItems") out->set_unique_items(true);
  }
}

void set_parameter(const Value& value, v2::Parameter* out) {
  const Value* in = value.find("in");
  if (in == nullptr) return;
  const Value* required = value.find("required");
  if (text(*in) == "body") {
    v2::BodyParameter* body = out->mutable_body_parameter();
    body->set_name("body");
    body->set_in("body");
    body->set_required(required != nullptr);
    if (const Value* schema = value.find("schema")) set_schema(*schema, body->mutable_schema());
  } else if (text(*in) == "path") {
    v2::PathParameter* path = out->mutable_non_body_parameter()->mutable_path();
    path->set_required(true);
    set_simple_parameter(value, path);
  } else {
    set_simple_parameter(value, out->mutable_non_body_parameter()->mutable_query());
  }
}

void set_responses(const Value& value, v2::Responses* out) {
  for (const Value::Member& member : *value.as_object()) {
    v2::NamedResponseValue* named = out->add_response_code();
    named->set_name(member.key);
    v2::Response* response = named->mutable_value()->mutable_response();
    if (const Value* description = member.value.find("description")) response->set_description(text(*description));
    if (const Value* schema = member.value.find("schema")) {
      set_schema(*schema, response->mutable_schema()->mutable_schema());
    }
  }
}

void set_operation(const Value& value, v2::Operation* out) {
  for (const Value::Member& member : *value.as_object()) {
    if (member.key == "tags") each(member.value, [&](const Value& tag) { out->add_tags(text(tag)); });
    if (member.key == "operationId") out->set_operation_id(text(member.value));
    if (member.key == "produces") each(member.value, [&](const Value& type) { out->add_produces(text(type)); });
    if (member.key == "consumes") each(member.value, [&](const Value& type) { out->add_consumes(text(type)); });
    if (member.key == "parameters") {
      each(member.value, [&](const Value& one) { set_parameter(one, out->add_parameters()->mutable_parameter()); });
    }
    if (member.key == "responses") set_responses(member.value, out->mutable_responses());
    add_extension(member, out);
  }
}

void set_path(const Value& value, v2::PathItem* out) {
  for (const Value::Member& member : *value.as_object()) {
    if (member.key == "get") set_operation(member.value, out->mutable_get());
    if (member.key == "put") set_operation(member.value, out->mutable_put());
    if (member.key == "post") set_operation(member.value, out->mutable_post());
    if (member.key == "delete") set_operation(member.value, out->mutable_delete_());
    if (member.key == "patch") set_operation(member.value, out->mutable_patch());
    if (member.key == "parameters") {
      each(member.value, [&](const Value& one) { set_parameter(one, out->add_parameters()->mutable_parameter()); });
    }
  }
}

}  // namespace

std::string openapi_v2_protobuf(const Value& swagger) {
  v2::Document document;
  document.set_swagger("2.0");
  if (const Value* info = swagger.find("info")) {
    if (const Value* title = info->find("title")) document.mutable_info()->set_title(text(*title));
    if (const Value* version = info->find("version")) document.mutable_info()->set_version(text(*version));
  }
  if (const Value* paths = swagger.find("paths")) {
    for (const Value::Member& member : *paths->as_object()) {
      v2::NamedPathItem* named = document.mutable_paths()->add_path();
      named->set_name(member.key);
      set_path(member.value, named->mutable_value());
    }
  }
  if (const Value* definitions = swagger.find("definitions")) {
    for (const Value::Member& member : *definitions->as_object()) {
      v2::NamedSchema* named = document.mutable_definitions()->add_additional_properties();
      named->set_name(member.key);
      set_schema(member.value, named->mutable_value());
    }
  }
  return document.SerializeAsString();
}

}  // namespace gantry::api
