// SPDX-License-Identifier: Apache-2.0
// FieldProblem: one thing wrong with one field of an object. Decoding and validation both collect these instead of
// stopping at the first, so that a user repairs a manifest in one go.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/value.h"
#include "base/result.h"

namespace gantry::api {

struct FieldProblem {
  // The causes that a Kubernetes Status lists are made from these.
  enum class Kind {
    kUnknownField,    // the schema has no such field
    kDuplicateField,  // the key stands twice in the text
    kWrongType,       // a string where an integer belongs, an integer out of its type's range, text that is no time
    kRequired,        // empty or absent
    kInvalid,         // a value that the field can't have
    kNotSupported,    // not one of the values that the field can have
    kDuplicate,       // must be unique
    kNotFound,        // names something that is not there
    kForbidden,       // not allowed here, or not beside another field
    kTooLong,         // over a limit
  };

  Kind kind = Kind::kInvalid;
  std::string path;    // "spec.containers[0].image"; empty: the object as a whole
  std::string detail;  // "expected an integer, found string \"abc\""
  Position position;   // of the field in the text; line 0 when it is not known
};

using FieldProblems = std::vector<FieldProblem>;

// "spec.containers[0].imagePul: line 12: unknown field"
std::string to_string(const FieldProblem& problem);

// All of them in one sentence, "; " between, cut after `most` with a count of the rest.
std::string summarize(const FieldProblems& problems, size_t most = 10);

// kInvalidArgument with the summary, or success when there is none.
Status to_status(const FieldProblems& problems);

// Where the path leads in a document: the position of the deepest part of it that is there.
Position locate(const Value& document, std::string_view path);
// Fills in the positions that are not known.
void locate(const Value& document, FieldProblems* problems);

}  // namespace gantry::api
