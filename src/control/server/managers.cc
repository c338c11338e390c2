// SPDX-License-Identifier: Apache-2.0
#include "control/server/managers.h"

#include <google/protobuf/message.h>

#include "api/apply.h"
#include "api/codec.h"
#include "api/convert.h"
#include "api/json_patch.h"
#include "api/kept_fields.h"
#include "api/merge_patch.h"
#include "api/metadata.h"
#include "api/strategic_merge.h"
#include "base/text.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace {

constexpr size_t kMaxManager = 128;

// A patch that can't be put onto this object: the client's mistake, or its idea of the object is old.
Failure unprocessable(const Call& call, const Error& error) {
  Failure failure = from_error(error);
  failure.code = error.is_invalid() ? 400 : error.is_resource() ? 413 : 422;
  failure.reason = error.is_invalid() ? "BadRequest" : error.is_resource() ? "RequestEntityTooLarge" : "Invalid";
  failure.kind = call.kind.plural;
  failure.group = call.kind.gvk.group;
  return failure;
}

api::FieldManager manager_of(const api::Kinds& kinds, const Call& call, api::Timestamp now) {
  api::FieldSet kept;
  for (const std::vector<std::string>& path : api::kept_fields(call.kind, call.info.subresource)) {
    kept.insert(api::field_path(path));
  }
  return {.manager = call.field_manager,
          .subresource = call.info.subresource,
          .now = now.seconds,
          .reset_fields = std::move(kept),
          .convert = api::converter_of(kinds)};
}

Outcome<void> set_managed_fields(const api::Value& document, api::Message* message) {
  api::ObjectMeta* metadata = api::mutable_metadata_of(message);
  metadata->clear_managed_fields();
  const api::Value* whole = document.find("metadata");
  const api::Value* list = whole == nullptr ? nullptr : whole->find("managedFields");
  if (list == nullptr || list->as_list() == nullptr) return {};
  for (const api::Value& entry : *list->as_list()) {
    if (Status decoded = api::decode(entry, metadata->add_managed_fields()); !decoded) {
      return fail(internal_error(decoded.error().message()));
    }
  }
  return {};
}

// Of the Scale of an object nothing is kept apart, and it has one version.
api::FieldManager manager_of_scale(const Call& call, api::Timestamp now) {
  return {.manager = call.field_manager, .subresource = call.info.subresource, .now = now.seconds};
}

Outcome<api::Value> apply(const api::Schema& schema, const api::FieldManager& manager, const api::Value* live,
                          const api::Value& document, bool force) {
  std::vector<api::ApplyConflict> conflicts;
  Result<api::Value> applied = api::apply_patch(schema, live, document, manager, force, &conflicts);
  if (applied) return std::move(*applied);
  if (applied.error().code() != Code::kAborted) return fail(bad_request(applied.error().message()));
  Failure failure;
  failure.code = 409;
  failure.reason = "Conflict";
  failure.message = applied.error().message();
  for (api::ApplyConflict& found : conflicts) {
    failure.causes.push_back({"FieldManagerConflict", std::move(found.message), std::move(found.field)});
  }
  return fail(std::move(failure));
}

}  // namespace

std::string default_field_manager(std::string_view user_agent) {
  const std::string_view program = user_agent.substr(0, user_agent.find('/'));
  std::string manager = as_utf8(program, kMaxManager);
  return manager.empty() ? "unknown" : manager;
}

Outcome<api::Value> patch_document(const Call& call, const api::Schema& schema, PatchType type, const api::Value& patch,
                                   api::Value document) {
  Result<api::Value> patched = [&]() -> Result<api::Value> {
    switch (type) {
      case PatchType::kJson:
        return api::apply_json_patch(std::move(document), patch);
      case PatchType::kMerge:
        return api::apply_merge_patch(std::move(document), patch);
      case PatchType::kStrategicMerge:
        return api::apply_strategic_merge_patch(schema, std::move(document), patch);
      case PatchType::kApply:
        break;
    }
    return invalid_argument("an apply is no patch of a document");
  }();
  if (!patched) return fail(unprocessable(call, patched.error()));
  return std::move(*patched);
}

Outcome<void> track_create(const api::Kinds& kinds, const Call& call, api::Timestamp now, api::Message* made) {
  if (call.is_apply) return {};
  return set_managed_fields(
      api::track_update(call.kind.schema(), nullptr, api::encode(*made), manager_of(kinds, call, now)), made);
}

Outcome<void> track_update(const api::Kinds& kinds, const Call& call, api::Timestamp now, const api::Message& old,
                           api::Message* updated) {
  if (call.is_apply) return {};
  const api::Value live = api::encode(old);
  return set_managed_fields(
      api::track_update(call.kind.schema(), &live, api::encode(*updated), manager_of(kinds, call, now)), updated);
}

Outcome<api::Value> apply_patch(const api::Kinds& kinds, const Call& call, const ResourceWriter::Patch& patch,
                                const api::Message& current, api::Timestamp now) {
  if (patch.type == PatchType::kApply) {
    const api::Value live = api::encode(current);
    return apply(call.kind.schema(), manager_of(kinds, call, now), &live, patch.document, patch.force);
  }
  return patch_document(call, call.kind.schema(), patch.type, patch.document, api::encode(current));
}

Outcome<api::Value> apply_onto_nothing(const api::Kinds& kinds, const Call& call, std::string_view name,
                                       const api::Value& document, api::Timestamp now) {
  const api::Value* metadata = document.find("metadata");
  const api::Value* said = metadata == nullptr ? nullptr : metadata->find("name");
  if (said != nullptr && said->is_string() && *said->as_string() != name) {
    return fail(bad_request(cat("the name of the object (", quoted(*said->as_string()),
                                ") does not match the name on the URL (", quoted(name), ")")));
  }
  api::Value named = document;
  // What is no object, or has metadata that are none, is refused by apply().
  const bool absent = metadata == nullptr || metadata->is_null();
  if (named.is_object() && absent) named["metadata"] = api::Value(api::Value::Object{});
  api::Value* names = named.find("metadata");
  if (names != nullptr && names->is_object()) (*names)["name"] = name;
  return apply(call.kind.schema(), manager_of(kinds, call, now), nullptr, named, false);
}

Outcome<api::Value> apply_scale(const Call& call, const api::Schema& schema, const ResourceWriter::Patch& patch,
                                const api::Value& live, api::Timestamp now) {
  return apply(schema, manager_of_scale(call, now), &live, patch.document, patch.force);
}

api::Value replace_scale(const Call& call, const api::Schema& schema, api::Value sent, const api::Value& live,
                         api::Timestamp now) {
  return api::track_update(schema, &live, std::move(sent), manager_of_scale(call, now));
}

bool differ_in_times_alone(const api::Message& a, const api::Message& b) {
  return api::equal_but(a, b, {"metadata"}) && api::differ_only_in_managed_times(api::encode(a), api::encode(b));
}

}  // namespace gantry::control
