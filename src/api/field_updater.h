// SPDX-License-Identifier: Apache-2.0
// FieldUpdater: what a write does to the ownership of fields. An update takes what it changes; an apply owns what it
// names, conflicts with others who own what it changes, and removes what it named last time and does not any more,
// unless somebody else owns it. What no manager may own (names, times and so on) is taken care of in apply.h, which
// callers use.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/managed_fields.h"
#include "api/schema.h"
#include "api/structured_merge.h"
#include "base/result.h"

namespace gantry::api {

// An object in one of the versions in which its kind is served; the schema says in which.
struct VersionedObject {
  const Schema* schema = nullptr;
  Value object;

  const std::string& version() const { return schema->api_version; }
  Shape shape() const { return Shape::of(*schema); }
};

// The object in another version; nothing if the kind is not served in that.
using ConvertObject = std::function<std::optional<VersionedObject>(const VersionedObject& from, const std::string& to)>;

struct OwnershipConflict {
  std::string manager_id;
  FieldPath path;
};

class FieldUpdater {
 public:
  // `reset` are the fields that this request can't change. Without `convert` entries of other versions are dropped, as
  // upstream drops those of versions that it does not serve.
  FieldUpdater(const FieldSet& reset, const ConvertObject& convert) : reset_(reset), convert_(convert) {}

  // The managers after `live` became `updated` by a request of that manager, whose entry has only what the request
  // changed.
  Status update(const VersionedObject& live, const VersionedObject& updated, const ManagedEntry& self,
                ManagedFields* managers) const;

  // The object after `config` was applied, or nothing if it is as it was. kAborted with the conflicts if there are any
  // and force is false.
  Result<std::optional<Value>> apply(const VersionedObject& live, const VersionedObject& config,
                                     const ManagedEntry& self, bool force, ManagedFields* managers,
                                     std::vector<OwnershipConflict>* conflicts) const;

 private:
  std::optional<VersionedObject> in_version(const VersionedObject& object, const std::string& version) const;
  ManagedFields reconciled(const VersionedObject& live, const ManagedFields& managers) const;
  Result<Comparison> take_fields(const VersionedObject& live, const VersionedObject& updated, const std::string& self,
                                 bool force, ManagedFields* managers, std::vector<OwnershipConflict>* conflicts) const;
  VersionedObject pruned(const VersionedObject& merged, const ManagedFields& managers, const ManagedEntry& last) const;
  VersionedObject with_owned(VersionedObject merged, VersionedObject pruned, const ManagedFields& managers) const;

  const FieldSet& reset_;
  const ConvertObject& convert_;
};

}  // namespace gantry::api
