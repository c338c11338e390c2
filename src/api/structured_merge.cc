// SPDX-License-Identifier: Apache-2.0
#include "api/structured_merge.h"

#include <map>
#include <optional>
#include <utility>

#include "api/object_edit.h"
#include "api/structured_shape.h"

namespace gantry::api {

namespace {

using Type = Schema::Type;

// Nothing when neither has anything that would stay.
std::optional<Value> merged(const Shape& shape, const Value* base, const Value* changes);

std::optional<Value> merged_members(const Shape& shape, const Value* base, const Value* changes) {
  Value::Object out;
  const bool has_changes = changes != nullptr && changes->is_object();
  std::map<std::string_view, const Value*> changed;
  if (has_changes) {
    for (const Value::Member& member : *changes->as_object()) changed[member.key] = &member.value;
  }
  const auto take = [&](const std::string& name, const Value* left, const Value* right) {
    const auto inside = member_shape(shape, name);
    if (!inside) return;
    if (std::optional<Value> value = merged(inside->shape, left, right)) out.emplace_back(name, std::move(*value));
  };
  if (base != nullptr && base->is_object()) {
    for (const Value::Member& member : *base->as_object()) {
      const auto found = changed.find(member.key);
      take(member.key, &member.value, found == changed.end() ? nullptr : found->second);
      if (found != changed.end()) changed.erase(found);
    }
  }
  if (has_changes) {
    for (const Value::Member& member : *changes->as_object()) {
      if (changed.contains(member.key)) take(member.key, nullptr, &member.value);
    }
  }
  if (out.empty()) return std::nullopt;
  return Value(std::move(out));
}

// A list, and what tells its elements apart. Of those that share a key, the value is null: they are not merged.
struct Elements {
  const Value::List* list = nullptr;
  std::vector<PathElement> keys;
  std::map<PathElement, const Value*> by_key;

  Elements(const Shape& shape, const Value* value) {
    static const Value kNull;
    if (value == nullptr || !value->is_list()) return;
    list = value->as_list();
    keys = elements_of(shape, *list);
    for (size_t i = 0; i < keys.size(); ++i) {
      const auto [known, added] = by_key.try_emplace(keys[i], &(*list)[i]);
      if (!added) known->second = &kNull;
    }
  }
  const Value* find(const PathElement& key) const {
    const auto found = by_key.find(key);
    return found == by_key.end() ? nullptr : found->second;
  }
};

// The elements that both have come in the order of the changes. What only one has stays beside its neighbours; where
// both put something in the same place, what only the base has comes first.
std::optional<Value> merged_elements(const Shape& shape, const Value* base, const Value* changes) {
  const Elements left(shape, base);
  const Elements right(shape, changes);
  const Shape inside = element_shape(shape);
  std::vector<const PathElement*> shared;
  for (const PathElement& key : right.keys) {
    if (left.find(key) != nullptr) shared.push_back(&key);
  }
  size_t next_shared = 0;
  std::map<PathElement, bool> done;
  Value::List out;
  const auto take = [&](const Value* a, const Value* b) {
    if (std::optional<Value> value = merged(inside, a, b)) out.push_back(std::move(*value));
  };
  size_t l = 0;
  size_t r = 0;
  while (l < left.keys.size() || r < right.keys.size()) {
    const bool both = l < left.keys.size() && r < right.keys.size();
    if (both && left.keys[l] == right.keys[r]) {
      done[left.keys[l]] = true;
      take(left.find(left.keys[l]), right.find(left.keys[l]));
      ++l;
      ++r;
      ++next_shared;
      continue;
    }
    if (both && right.find(left.keys[l]) != nullptr && next_shared < shared.size() &&
        !(*shared[next_shared] == left.keys[l])) {
      ++l;  // its turn comes when the changes come to it
      continue;
    }
    if (l < left.keys.size()) {
      if (right.find(left.keys[l]) == nullptr) {
        take(&(*left.list)[l], nullptr);
        ++l;
        continue;
      }
      if (done.contains(left.keys[l])) ++l;
    }
    if (r < right.keys.size()) {
      const PathElement& key = right.keys[r];
      done[key] = true;
      take(left.find(key), right.find(key));
      ++r;
      if (next_shared < shared.size() && *shared[next_shared] == key) ++next_shared;
    }
  }
  if (out.empty()) return std::nullopt;
  return Value(std::move(out));
}

std::optional<Value> merged(const Shape& shape, const Value* base, const Value* changes) {
  const Form form = form_of(shape);
  if (form == Form::kLeaf || (is_hollow(base) && is_hollow(changes))) return changes != nullptr ? *changes : *base;
  return form == Form::kMembers ? merged_members(shape, base, changes) : merged_elements(shape, base, changes);
}

// Nothing when all is gone.
std::optional<Value> remaining(const Shape& shape, const Value& value, const FieldSet& fields) {
  if (!value.is_object() && !value.is_list()) return value;
  if (is_hollow(&value)) return std::nullopt;
  switch (form_of(shape)) {
    case Form::kLeaf:
      return std::nullopt;
    case Form::kMembers: {
      Value::Object out;
      for (const Value::Member& member : *value.as_object()) {
        const PathElement element = PathElement::field(member.key);
        if (fields.has(element)) continue;
        const FieldSet* beneath = fields.beneath(element);
        const auto inside = member_shape(shape, member.key);
        if (beneath == nullptr || !inside) {
          out.push_back(member);
        } else {
          out.emplace_back(member.key, remaining(inside->shape, member.value, *beneath).value_or(Value()));
        }
      }
      if (out.empty()) return std::nullopt;
      return Value(std::move(out));
    }
    case Form::kElements: {
      Value::List out;
      const Value::List& list = *value.as_list();
      const std::vector<PathElement> keys = elements_of(shape, list);
      for (size_t i = 0; i < list.size(); ++i) {
        if (fields.has(keys[i])) continue;
        const FieldSet* beneath = fields.beneath(keys[i]);
        if (beneath == nullptr) {
          out.push_back(list[i]);
        } else {
          out.push_back(remaining(element_shape(shape), list[i], *beneath).value_or(Value()));
        }
      }
      if (out.empty()) return std::nullopt;
      return Value(std::move(out));
    }
  }
  return value;
}

// The zero that is written to JSON for a field of this type held by value; nothing for one that is left out.
std::optional<Value> zero_of(const Schema::Field& field) {
  const bool always = field.emit == Schema::Emit::kAlways;
  switch (field.type->type) {
    case Type::kString:
      return always ? std::optional<Value>("") : std::nullopt;
    case Type::kBool:
      return always ? std::optional<Value>(false) : std::nullopt;
    case Type::kInt32:
    case Type::kInt64:
    case Type::kDouble:
      return always ? std::optional<Value>(0) : std::nullopt;
    case Type::kQuantity:
      return Value("0");
    case Type::kIntOrString:
      return Value(0);
    case Type::kStruct: {
      Value::Object object;
      for (const Schema::Field& inner : field.type->fields) {
        const bool by_value = inner.presence == Schema::Presence::kValue && inner.type->type != Type::kList &&
                              inner.type->type != Type::kMap;
        std::optional<Value> value;
        if (by_value) {
          value = zero_of(inner);
        } else if (inner.emit == Schema::Emit::kAlways) {
          value = inner.name == "items" ? Value(Value::List()) : Value();
        }
        if (value) object.emplace_back(inner.name, std::move(*value));
      }
      if (object.empty() && field.emit == Schema::Emit::kOmitZero) return std::nullopt;
      return Value(std::move(object));
    }
    default:
      return field.emit == Schema::Emit::kOmitZero ? std::nullopt : std::optional<Value>(Value());
  }
}

}  // namespace

Value merge_structures(const Shape& shape, const Value& base, const Value& changes) {
  return merged(shape, &base, &changes).value_or(Value(Value::Object()));
}

Value without_fields(const Shape& shape, const Value& value, const FieldSet& fields) {
  return remaining(shape, value, fields).value_or(Value(Value::Object()));
}

Value empty_object(const Schema& schema) {
  Schema::Field root;
  root.type = &schema;
  Value object = *zero_of(root);
  if (schema.kind.empty()) return object;
  object.as_object()->insert(object.as_object()->begin(),
                             {Value::Member("kind", schema.kind), Value::Member("apiVersion", schema.api_version)});
  return object;
}

}  // namespace gantry::api
