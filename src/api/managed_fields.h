// SPDX-License-Identifier: Apache-2.0
// ManagedFields: who owns which fields of an object, as metadata.managedFields lists it. One entry for each manager
// that applies, and one for each manager, version and subresource that updates. A plain value; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "api/field_set.h"
#include "api/value.h"
#include "base/result.h"

namespace gantry::api {

struct ManagedEntry {
  std::string manager;
  bool applies = false;  // operation Apply, else Update
  std::string api_version;
  std::string subresource;
  std::optional<int64_t> time;  // seconds since 1970
  FieldSet fields;

  // What makes it one entry: for one that applies, whatever the version. Also the order in which conflicts are told.
  std::string id() const;
  // `"kubectl" using apps/v1`, as upstream names a manager in a conflict.
  std::string to_string() const;
};

// By ManagedEntry::id().
using ManagedFields = std::map<std::string, ManagedEntry>;

// From metadata.managedFields; null is none. kInvalidArgument when an entry is none.
Result<ManagedFields> decode_managed_fields(const Value& list);
// In upstream's order: those that apply first, then by time and name. null when there is none.
Value encode_managed_fields(const ManagedFields& managed);

// At most this many entries of updates are kept apart, as upstream; the oldest are put together as "ancient-changes".
inline constexpr size_t kMaxUpdateEntries = 10;
void cap_update_entries(ManagedFields* managed);

}  // namespace gantry::api
