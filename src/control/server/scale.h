// SPDX-License-Identifier: Apache-2.0
// The subresource scale: how many replicas an object has and shall have, as autoscaling/v1 Scale, for clients that know
// nothing else of the kind.
#pragma once

#include "api/time.h"
#include "control/server/resource_writer.h"

namespace gantry::control {

// Precondition: the kind has ScaleRules.
Outcome<std::unique_ptr<api::Message>> scale_of(const api::Kind& kind, const api::Message& object);

// The object with the replicas that the Scale asks for, and their owners, which metadata.managedFields of the Scale had
// become by the write. 422 for a negative count, 409 for another version or uid.
Outcome<std::unique_ptr<api::Message>> with_scale(const Call& call, const api::Message& sent,
                                                  const api::Message& object, api::Timestamp now);
// The same for a patch of the Scale; call.warnings gets what is unknown in it, unless that is refused or ignored.
Outcome<std::unique_ptr<api::Message>> with_patched_scale(Call& call, const ResourceWriter::Patch& patch,
                                                          const api::Message& object, api::Timestamp now);

// An empty Scale.
std::unique_ptr<api::Message> make_scale();

}  // namespace gantry::control
