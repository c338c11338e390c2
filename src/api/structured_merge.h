// SPDX-License-Identifier: Apache-2.0
// What server-side apply asks of two documents of a kind, as upstream's structured-merge-diff answers it: which fields
// one has, how two differ, what comes of merging one into another, and what is left when fields are taken away. Lists
// are atomic, sets, or lists of elements told apart by keys; objects are atomic or granular; the Schema says which.
//
// Precondition of all but check_structure: the values have passed it. Pure; any thread.
#pragma once

#include <string>
#include <vector>

#include "api/field_set.h"
#include "api/schema.h"
#include "api/value.h"
#include "base/result.h"

namespace gantry::api {

// A place in a schema: a type, and how what is there is merged.
struct Shape {
  const Schema* type = nullptr;
  Schema::Merge merge = Schema::Merge::kDefault;
  const std::vector<std::string>* list_keys = nullptr;

  static Shape of(const Schema& schema) { return {&schema, schema.merge, nullptr}; }
};

// kInvalidArgument in upstream's words: ".spec.imagePul: field not declared in schema". Of two elements of a list with
// the same key only stored objects may have any.
Status check_structure(const Shape& shape, const Value& value, bool allow_duplicates);

// The fields that a document names.
FieldSet fields_of(const Shape& shape, const Value& value);

struct Comparison {
  FieldSet removed;
  FieldSet modified;
  FieldSet added;

  // Without these and what is beneath them.
  Comparison without(const FieldSet& fields) const;
};
Comparison compare_fields(const Shape& shape, const Value& before, const Value& after);

// `changes` merged into `base`, in the order that suits both.
Value merge_structures(const Shape& shape, const Value& base, const Value& changes);

// The value without these fields and elements.
Value without_fields(const Shape& shape, const Value& value, const FieldSet& fields);

// The set with every field of a struct that leads to a member as a member itself.
FieldSet with_named_fields(const Shape& shape, const FieldSet& fields);

// The set as the schema has it today: what has become atomic is owned as a whole.
FieldSet reconciled_with_schema(const Shape& shape, const FieldSet& fields);

// The JSON of an object of that kind in which nothing is set: what upstream compares a new object with.
Value empty_object(const Schema& schema);

}  // namespace gantry::api
