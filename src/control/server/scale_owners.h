// SPDX-License-Identifier: Apache-2.0
// Who owns the replicas of an object, as its Scale says it and as the object does. Pure.
#pragma once

#include <string>
#include <vector>

#include "api/managed_fields.h"

namespace gantry::control {

// Where replicas stand in an object, {"spec", "replicas"}, and its version: "apps/v1".
struct ReplicasField {
  std::string api_version;
  std::vector<std::string> path;
};

// The owners of a Scale: who owns the replicas of its object, each with spec.replicas and nothing else.
api::ManagedFields owners_of_scale(const ReplicasField& field, const api::ManagedFields& of_object);

// The owners of the object after those of its Scale have become these: who is none of them any more has lost the
// replicas, who is new owns them, and, as upstream has it, does not say since when.
api::ManagedFields owners_after_scale(const ReplicasField& field, const api::ManagedFields& of_object,
                                      const api::ManagedFields& of_scale);

}  // namespace gantry::control
