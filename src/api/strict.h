// SPDX-License-Identifier: Apache-2.0
// What fieldValidation=Strict and Warn look for in patches, before they are applied. Whole objects need none of this:
// decode (codec.h) reports the same of them, and what a patch brings into an object that the kind does not know is
// found when the patched object is decoded.
#pragma once

#include "api/problem.h"
#include "api/value.h"

namespace gantry::api {

// Adds a kDuplicateField with path and position for each member that stands a second time, at most 100.
void find_duplicates(const Value& document, FieldProblems* problems);

// For a JSON patch: a kUnknownField for each member of an operation other than op, path, from and value, at most 100.
void find_unknown_in_json_patch(const Value& patch, FieldProblems* problems);

// The document in which of members with the same key only the last is left, where the first stood: what it means to
// who is not strict.
Value without_duplicates(Value document);

// How deep lists and objects are inside one another: 0 for a scalar.
size_t depth_of(const Value& value);

}  // namespace gantry::api
