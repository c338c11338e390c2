// SPDX-License-Identifier: Apache-2.0
#include "api/structured_shape.h"

#include "api/json.h"
#include "api/text.h"

namespace gantry::api {

namespace {

using Type = Schema::Type;
using Merge = Schema::Merge;

// "[\"name\" \"port\"]", as upstream prints a list of keys.
std::string listed(const std::vector<std::string>& keys) {
  std::string out = "[";
  for (const std::string& key : keys) out += cat(out.size() > 1 ? " " : "", quoted(key));
  return out + ']';
}

Result<PathElement> keyed_element(const Shape& shape, const Value& element) {
  if (element.is_null()) return invalid_argument("associative list with keys may not have a null element");
  if (!element.is_object()) return invalid_argument("associative list with keys may not have non-map elements");
  PathElement::Key key;
  for (const std::string& name : *shape.list_keys) {
    if (const Value* value = element.find(name)) {
      key.emplace_back(name, *value);
      continue;
    }
    const Schema::Field* field = shape.type->element->find(name);
    if (field == nullptr || field->default_json.empty()) continue;
    Result<Value> constant = parse_json(field->default_json);
    if (!constant) return fail_with(constant.error(), cat("default of ", name));
    key.emplace_back(name, std::move(*constant));
  }
  if (!key.empty()) return PathElement::key(std::move(key));
  return invalid_argument(cat("associative list with keys has an element that omits all key fields ",
                              listed(*shape.list_keys), " (and doesn't have default values for any key fields)"));
}

}  // namespace

Form form_of(const Shape& shape) {
  if (shape.merge == Merge::kAtomic) return Form::kLeaf;
  switch (shape.type->type) {
    case Type::kStruct:
    case Type::kMap:
      return Form::kMembers;
    case Type::kList: {
      const bool keyed = shape.merge == Merge::kByKey && shape.list_keys != nullptr && !shape.list_keys->empty();
      return keyed || shape.merge == Merge::kSet ? Form::kElements : Form::kLeaf;
    }
    default:
      return Form::kLeaf;
  }
}

std::optional<MemberShape> member_shape(const Shape& shape, std::string_view name) {
  if (shape.type->type == Type::kMap) return MemberShape{Shape::of(*shape.type->element), false};
  // A kind's own fields of type are no fields of its schema.
  static const Schema kText = [] {
    Schema schema;
    schema.type = Type::kString;
    return schema;
  }();
  if (!shape.type->kind.empty() && (name == "kind" || name == "apiVersion")) {
    return MemberShape{Shape::of(kText), true};
  }
  const Schema::Field* field = shape.type->find(name);
  if (field == nullptr) return std::nullopt;
  const Merge merge = field->merge != Merge::kDefault ? field->merge : field->type->merge;
  return MemberShape{{field->type, merge, &field->list_keys}, true};
}

Shape element_shape(const Shape& shape) { return Shape::of(*shape.type->element); }

Result<PathElement> element_of(const Shape& shape, const Value& element) {
  if (shape.merge == Merge::kByKey) return keyed_element(shape, element);
  switch (element.kind()) {
    case Value::Kind::kObject:
      return invalid_argument("associative list without keys has an element that's a map type");
    case Value::Kind::kList:
      return invalid_argument("not supported: associative list with lists as elements");
    case Value::Kind::kNull:
      return invalid_argument("associative list without keys has an element that's an explicit null");
    default:
      return PathElement::value(element);
  }
}

std::vector<PathElement> elements_of(const Shape& shape, const Value::List& list) {
  std::vector<PathElement> out;
  out.reserve(list.size());
  for (const Value& element : list) {
    Result<PathElement> found = element_of(shape, element);
    out.push_back(found ? std::move(*found) : PathElement::index(static_cast<int64_t>(out.size())));
  }
  return out;
}

bool is_hollow(const Value* value) {
  if (value == nullptr || value->is_null()) return true;
  if (const Value::List* list = value->as_list()) return list->empty();
  if (const Value::Object* object = value->as_object()) return object->empty();
  return false;
}

}  // namespace gantry::api
