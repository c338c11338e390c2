// SPDX-License-Identifier: Apache-2.0
// How a shape (structured_merge.h) leads to the shapes of what is inside it, and what tells a list's elements apart.
// Inside src/api only.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "api/structured_merge.h"

namespace gantry::api {

// How a value is owned and merged: as one, by its members, or by its elements.
enum class Form : uint8_t { kLeaf, kMembers, kElements };

// What may be any JSON is a leaf, as upstream has it.
Form form_of(const Shape& shape);

// The shape of a member, and whether the schema names it as a field of a struct.
struct MemberShape {
  Shape shape;
  bool named = false;
};
// Nothing if a struct has no such field.
std::optional<MemberShape> member_shape(const Shape& shape, std::string_view name);
Shape element_shape(const Shape& shape);

// What tells the element apart, or why nothing does.
Result<PathElement> element_of(const Shape& shape, const Value& element);
// Precondition: element_of finds one for each.
std::vector<PathElement> elements_of(const Shape& shape, const Value::List& list);

// Absent, null, or without anything in it.
bool is_hollow(const Value* value);

}  // namespace gantry::api
