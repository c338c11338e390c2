// SPDX-License-Identifier: Apache-2.0
// Server-side apply, and the record of who owns which field that it rests on. Every write goes through one of the two:
// apply_patch for application/apply-patch+yaml, track_update for create, update and the other patches. Both answer with
// the object as it is to be stored, metadata.managedFields included.
//
// Nobody owns apiVersion, kind, and of metadata what the server sets (name, namespace, uid, resourceVersion,
// generation, creationTimestamp, managedFields ...). What a request can't change at all (status for the main resource,
// spec and metadata for its status) the kind says in `reset_fields`.
//
// Objects are in the version of the request, as codec.h's encode writes them. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "api/field_set.h"
#include "api/field_updater.h"
#include "api/schema.h"
#include "api/value.h"
#include "base/result.h"

namespace gantry::api {

struct FieldManager {
  std::string manager;      // of the query, or what the User-Agent begins with; empty: "unknown"
  std::string subresource;  // "status"; empty for the object itself
  int64_t now = 0;          // seconds since 1970
  FieldSet reset_fields;
  ConvertObject convert;  // for kinds that are served in several versions
};

// A cause of the 409: type FieldManagerConflict, `message` and `field` as upstream words them.
struct ApplyConflict {
  std::string message;  // `conflict with "kubectl" using apps/v1`
  std::string field;    // ".spec.replicas"
};

// The object after `applied` was applied to `live`; null: there was none. An apply that changes nothing gives back what
// was there, but for the ownership that it takes. Defaults are not set again. Errors:
//   kAborted          (409) somebody else owns what this would change, and force is false: `conflicts` tells who and
//   what kInvalidArgument  (400) another kind or version, managedFields in what is applied, or no object of this kind
Result<Value> apply_patch(const Schema& schema, const Value* live, const Value& applied, const FieldManager& manager,
                          bool force, std::vector<ApplyConflict>* conflicts);

// `updated`, with managedFields as they are after this write: what it changed has passed to the manager. It never
// fails: of an object whose fields can't be told, the entries stay as they are. `updated` may say managedFields itself;
// an empty list, or one empty entry, ends the tracking of the object.
Value track_update(const Schema& schema, const Value* live, Value updated, const FieldManager& manager);

// True if the objects are equal but for times in managedFields and the resourceVersion: such a write is none, and what
// was stored is answered.
bool differ_only_in_managed_times(const Value& a, const Value& b);

}  // namespace gantry::api
