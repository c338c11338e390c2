// SPDX-License-Identifier: Apache-2.0
// Patches of all four kinds on an object, and who has set which of its fields (metadata.managedFields), between the
// generic functions of src/api and a Call. Pure.
#pragma once

#include "api/time.h"
#include "control/server/resource_writer.h"

namespace gantry::control {

// The client's program, from its User-Agent, for who does not say ?fieldManager=: "kubectl", at most 128 bytes.
std::string default_field_manager(std::string_view user_agent);

// Notes that call.field_manager made the object, or changed what differs from `old`.
Outcome<void> track_create(const api::Kinds& kinds, const Call& call, api::Timestamp now, api::Message* made);
Outcome<void> track_update(const api::Kinds& kinds, const Call& call, api::Timestamp now, const api::Message& old,
                           api::Message* updated);

// The document that comes of a patch of the first three kinds on a document. 400 for what is no such patch, 422 for one
// that can't be applied to it.
Outcome<api::Value> patch_document(const Call& call, const api::Schema& schema, PatchType type, const api::Value& patch,
                                   api::Value document);

// The document that comes of a patch on an object. 422 for one that can't be applied, 409 with causes where an apply
// meets the fields of other managers.
Outcome<api::Value> apply_patch(const api::Kinds& kinds, const Call& call, const ResourceWriter::Patch& patch,
                                const api::Message& current, api::Timestamp now);
// The document of an apply to an object that is not there.
Outcome<api::Value> apply_onto_nothing(const api::Kinds& kinds, const Call& call, std::string_view name,
                                       const api::Value& document, api::Timestamp now);

// The same of the Scale of an object: `live` has its owners in managedFields, and so has what comes of it. The first
// for an apply, the second for a whole Scale that was sent, or came of another patch.
Outcome<api::Value> apply_scale(const Call& call, const api::Schema& schema, const ResourceWriter::Patch& patch,
                                const api::Value& live, api::Timestamp now);
api::Value replace_scale(const Call& call, const api::Schema& schema, api::Value sent, const api::Value& live,
                         api::Timestamp now);

// True if such a write is none: nothing differs but when managers say that they wrote.
bool differ_in_times_alone(const api::Message& a, const api::Message& b);

}  // namespace gantry::control
