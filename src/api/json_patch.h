// SPDX-License-Identifier: Apache-2.0
// JSON patch, RFC 6902 (application/json-patch+json), as upstream's API server applies it. Beyond the RFC: an index
// below zero counts from the end, replace of a member that is not there adds it, a value that is not there is null, and
// test finds a member that is not there equal to null. Pure; any thread.
#pragma once

#include "api/value.h"
#include "base/result.h"

namespace gantry::api {

struct JsonPatchLimits {
  size_t operations = 10'000;
  size_t copied_bytes = size_t{3} << 20;  // what "copy" adds, as JSON, in all
  size_t depth = 200;                     // of the patched document
  size_t work = 100'000'000;              // members and elements that are walked over, in all
};

// The patched document. Errors, by what an API server answers:
//   kInvalidArgument (400)     the patch is no list of operations, the document a scalar
//   kResourceExhausted (413)   a limit is passed
//   kFailedPrecondition (422)  an operation is not well-formed or does not apply: "testing value /a failed: test
//   failed"
// Of members with the same key the last one counts; who wants to refuse them asks strict.h first.
Result<Value> apply_json_patch(Value document, const Value& patch, const JsonPatchLimits& limits = {});

}  // namespace gantry::api
