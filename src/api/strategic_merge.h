// SPDX-License-Identifier: Apache-2.0
// Strategic merge patch (application/strategic-merge-patch+json): a merge patch that knows the kind. Lists whose field
// says so are merged by their merge key, or as sets, and directives in the patch say the rest:
//
//   $patch: replace | delete            the object is what the patch says, or empty; in a list's element: the list is
//                                       what the patch says, or loses the element
//   $deleteFromPrimitiveList/NAME: []   what a list of scalars loses
//   $setElementOrder/NAME: []           in which order a merged list comes out
//   $retainKeys: []                     all that an object keeps
//
// As upstream's apimachinery does it, down to what it leaves standing: directives in objects that the document did not
// have are unknown fields, and found when the result is decoded. Where upstream's answer depends on the order in which
// Go walks a map, deletions come first. Pure; any thread.
#pragma once

#include "api/schema.h"
#include "api/value.h"
#include "base/result.h"

namespace gantry::api {

// The patched document. kInvalidArgument for a patch that can't be applied, in upstream's words. Of members with the
// same key the last one counts; who wants to refuse them asks strict.h first.
Result<Value> apply_strategic_merge_patch(const Schema& schema, Value document, const Value& patch);

}  // namespace gantry::api
