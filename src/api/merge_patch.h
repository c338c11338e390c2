// SPDX-License-Identifier: Apache-2.0
// JSON merge patch, RFC 7386 (application/merge-patch+json): what the patch names is replaced, objects are merged, null
// removes. Pure; any thread.
#pragma once

#include "api/value.h"
#include "base/result.h"

namespace gantry::api {

// The patched document. kInvalidArgument when either is no object: "Invalid JSON Patch". Of members with the same key
// the last one counts; who wants to refuse them asks strict.h first.
Result<Value> apply_merge_patch(Value document, const Value& patch);

}  // namespace gantry::api
