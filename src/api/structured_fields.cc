// SPDX-License-Identifier: Apache-2.0
// structured_merge.h: what asks only, and makes sets of fields.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "api/structured_merge.h"
#include "api/structured_shape.h"
#include "api/text.h"

namespace gantry::api {

namespace {

using Type = Schema::Type;

std::unexpected<Error> at(const std::string& path, std::string_view what) {
  return invalid_argument(path.empty() ? std::string(what) : cat(path, ": ", what));
}

Status check_scalar(Type type, const Value& value, const std::string& path) {
  const Value::Kind kind = value.kind();
  const bool number = kind == Value::Kind::kInteger || kind == Value::Kind::kNumber;
  switch (type) {
    case Type::kString:
    case Type::kBytes:
      if (kind != Value::Kind::kString) return at(path, cat("expected string, got ", describe(value)));
      return {};
    case Type::kBool:
      if (kind != Value::Kind::kBool) return at(path, cat("expected boolean, got ", describe(value)));
      return {};
    case Type::kInt32:
    case Type::kInt64:
    case Type::kDouble:
      if (!number) return at(path, cat("expected numeric (int or float), got ", describe(value)));
      return {};
    default:
      if (value.is_object() || value.is_list()) return at(path, cat("expected any scalar, got ", describe(value)));
      return {};
  }
}

class StructureCheck {
 public:
  explicit StructureCheck(bool allow_duplicates) : allow_duplicates_(allow_duplicates) {}

  Status check(const Shape& shape, const Value& value) {
    if (value.is_null()) return {};
    switch (shape.type->type) {
      case Type::kStruct:
      case Type::kMap:
        return check_members(shape, value);
      case Type::kList:
        return check_elements(shape, value);
      case Type::kRaw:
        return {};
      default:
        return check_scalar(shape.type->type, value, path_);
    }
  }

 private:
  Status check_members(const Shape& shape, const Value& value) {
    if (!value.is_object()) return at(path_, cat("expected map, got ", describe(value)));
    const size_t length = path_.size();
    for (const Value::Member& member : *value.as_object()) {
      path_ += cat('.', member.key);
      const auto inside = member_shape(shape, member.key);
      if (!inside) return at(path_, "field not declared in schema");
      if (Status status = check(inside->shape, member.value); !status) return status;
      path_.resize(length);
    }
    return {};
  }

  Status check_elements(const Shape& shape, const Value& value) {
    const Value::List* list = value.as_list();
    if (list == nullptr) return at(path_, cat("expected list, got ", describe(value)));
    const bool associative = form_of(shape) == Form::kElements;
    const size_t length = path_.size();
    std::set<PathElement> seen;
    for (size_t i = 0; i < list->size(); ++i) {
      PathElement element = PathElement::index(static_cast<int64_t>(i));
      if (associative) {
        Result<PathElement> found = element_of(shape, (*list)[i]);
        if (!found) return at(path_, cat("element ", i, ": ", found.error().message()));
        element = std::move(*found);
        if (!seen.insert(element).second && !allow_duplicates_) {
          return at(path_, cat("duplicate entries for key ", element.to_string()));
        }
      }
      path_ += element.to_string();
      if (Status status = check(element_shape(shape), (*list)[i]); !status) return status;
      path_.resize(length);
    }
    return {};
  }

  bool allow_duplicates_;
  std::string path_;
};

// The fields at and beneath a place.
struct Fields {
  bool self = false;
  FieldSet beneath;
};

Fields fields_at(const Shape& shape, const Value& value) {
  Fields out;
  switch (form_of(shape)) {
    case Form::kLeaf:
      out.self = true;
      break;
    case Form::kMembers:
      if (value.is_null()) break;
      for (const Value::Member& member : *value.as_object()) {
        const auto inside = member_shape(shape, member.key);
        if (!inside) continue;
        Fields fields = fields_at(inside->shape, member.value);
        const bool empty = member.value.is_null() || (member.value.is_object() && member.value.as_object()->empty());
        out.beneath.add(PathElement::field(member.key), fields.self || empty || !inside->named,
                        std::move(fields.beneath));
      }
      break;
    case Form::kElements: {
      if (value.is_null()) break;
      const std::vector<PathElement> elements = elements_of(shape, *value.as_list());
      std::map<PathElement, size_t> times;
      for (const PathElement& element : elements) ++times[element];
      for (size_t i = 0; i < elements.size(); ++i) {
        // Nothing is owned inside of elements that can't be told apart.
        Fields fields;
        if (times[elements[i]] == 1) fields = fields_at(element_shape(shape), (*value.as_list())[i]);
        out.beneath.add(elements[i], true, std::move(fields.beneath));
      }
      break;
    }
  }
  return out;
}

enum class Change : uint8_t { kNone, kRemoved, kModified, kAdded };

struct Difference {
  Change self = Change::kNone;
  Comparison beneath;
};

void add(Comparison* out, const PathElement& element, Difference difference) {
  out->removed.add(element, difference.self == Change::kRemoved, std::move(difference.beneath.removed));
  out->modified.add(element, difference.self == Change::kModified, std::move(difference.beneath.modified));
  out->added.add(element, difference.self == Change::kAdded, std::move(difference.beneath.added));
}

Difference difference_at(const Shape& shape, const Value* before, const Value* after);

Change presence_change(const Value* before, const Value* after) {
  return before == nullptr ? Change::kAdded : after == nullptr ? Change::kRemoved : Change::kNone;
}

void compare_members(const Shape& shape, const Value* before, const Value* after, Comparison* out) {
  std::map<std::string_view, std::pair<const Value*, const Value*>> members;
  if (before != nullptr && before->is_object()) {
    for (const Value::Member& member : *before->as_object()) members[member.key].first = &member.value;
  }
  if (after != nullptr && after->is_object()) {
    for (const Value::Member& member : *after->as_object()) members[member.key].second = &member.value;
  }
  for (const auto& [name, values] : members) {
    const auto inside = member_shape(shape, name);
    if (!inside) continue;
    add(out, PathElement::field(name), difference_at(inside->shape, values.first, values.second));
  }
}

void compare_elements(const Shape& shape, const Value* before, const Value* after, Comparison* out) {
  using Found = std::vector<const Value*>;
  std::map<PathElement, std::pair<Found, Found>> elements;
  const auto collect = [&](const Value* value, Found std::pair<Found, Found>::* side) {
    if (value == nullptr || !value->is_list()) return;
    const Value::List& list = *value->as_list();
    const std::vector<PathElement> keys = elements_of(shape, list);
    for (size_t i = 0; i < list.size(); ++i) (elements[keys[i]].*side).push_back(&list[i]);
  };
  collect(before, &std::pair<Found, Found>::first);
  collect(after, &std::pair<Found, Found>::second);
  const Shape inside = element_shape(shape);
  for (const auto& [element, found] : elements) {
    const auto& [left, right] = found;
    if (left.size() <= 1 && right.size() <= 1) {
      add(out, element, difference_at(inside, left.empty() ? nullptr : left[0], right.empty() ? nullptr : right[0]));
    } else if (left.size() >= 2 && right.size() >= 2) {
      // Elements that can't be told apart are compared as one.
      const bool same = std::ranges::equal(left, right, [](const Value* a, const Value* b) { return *a == *b; });
      if (!same) out->modified.add(element, true, {});
    } else if (left.size() >= 2) {
      if (!right.empty()) add(out, element, difference_at(inside, nullptr, right[0]));
      out->removed.add(element, true, {});
    } else {
      if (!left.empty()) add(out, element, difference_at(inside, left[0], nullptr));
      out->added.add(element, true, {});
    }
  }
}

Difference difference_at(const Shape& shape, const Value* before, const Value* after) {
  Difference out;
  const Form form = form_of(shape);
  if (form == Form::kLeaf || (is_hollow(before) && is_hollow(after))) {
    out.self = presence_change(before, after);
    if (out.self == Change::kNone && !(*before == *after)) out.self = Change::kModified;
    return out;
  }
  if (form == Form::kMembers) {
    compare_members(shape, before, after, &out.beneath);
  } else {
    compare_elements(shape, before, after, &out.beneath);
  }
  out.self = presence_change(before, after);
  return out;
}

}  // namespace

Status check_structure(const Shape& shape, const Value& value, bool allow_duplicates) {
  return StructureCheck(allow_duplicates).check(shape, value);
}

FieldSet fields_of(const Shape& shape, const Value& value) { return fields_at(shape, value).beneath; }

Comparison Comparison::without(const FieldSet& fields) const {
  if (fields.empty()) return *this;
  return {removed.minus_whole(fields), modified.minus_whole(fields), added.minus_whole(fields)};
}

Comparison compare_fields(const Shape& shape, const Value& before, const Value& after) {
  return difference_at(shape, &before, &after).beneath;
}

FieldSet with_named_fields(const Shape& shape, const FieldSet& fields) {
  FieldSet out;
  for (const auto& [element, entry] : fields.entries()) {
    Shape inside;
    bool named = false;
    const Type type = shape.type == nullptr ? Type::kString : shape.type->type;
    if (element.kind() == PathElement::Kind::kField && (type == Type::kStruct || type == Type::kMap)) {
      if (const auto member = member_shape(shape, element.name())) {
        inside = member->shape;
        named = member->named;
      }
    } else if (element.kind() == PathElement::Kind::kKey && type == Type::kList) {
      inside = element_shape(shape);
    }
    out.add(element, entry.member || (named && !entry.beneath.empty()), with_named_fields(inside, entry.beneath));
  }
  return out;
}

FieldSet reconciled_with_schema(const Shape& shape, const FieldSet& fields) {
  FieldSet out;
  const Type type = shape.type->type;
  for (const auto& [element, entry] : fields.entries()) {
    std::optional<Shape> inside;
    if (element.kind() == PathElement::Kind::kField && (type == Type::kStruct || type == Type::kMap)) {
      if (const auto member = member_shape(shape, element.name())) inside = member->shape;
    } else if (type == Type::kList) {
      inside = element_shape(shape);
    }
    const Type inner = inside ? inside->type->type : Type::kString;
    const bool container = inner == Type::kStruct || inner == Type::kMap || inner == Type::kList;
    if (!container || entry.beneath.empty()) {
      out.add(element, entry.member, entry.beneath);
    } else if (form_of(*inside) == Form::kLeaf) {
      out.add(element, true, {});
    } else {
      out.add(element, entry.member, reconciled_with_schema(*inside, entry.beneath));
    }
  }
  return out;
}

}  // namespace gantry::api
