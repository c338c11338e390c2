// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/message.h>

#include "api/check.h"
#include "api/codec.h"
#include "api/json_patch.h"
#include "api/kept_fields.h"
#include "api/merge_patch.h"
#include "api/metadata.h"
#include "api/object_meta.h"
#include "api/strategic_merge.h"
#include "base/text.h"
#include "control/server/managers.h"
#include "control/server/resource_writer.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace {

// A change of what was read just now is made again when somebody else was faster; one that names a version fails then.
constexpr int kAttempts = 16;

constexpr std::string_view kModified =
    "the object has been modified; please apply your changes to the latest version and try again";

const api::UpdateRules& rules_of(const Call& call) {
  return call.subresource != nullptr && call.subresource->update ? *call.subresource->update : call.kind.update;
}

Failure other_name(std::string_view name, std::string_view in_url) {
  return bad_request(cat("the name of the object (", name, ") does not match the name on the URL (", in_url, ")"));
}

Failure other_uid(const api::Kind& kind, std::string_view name, std::string_view uid, std::string_view there) {
  return conflict(kind, name, cat("Precondition failed: UID in precondition: ", uid, ", UID in object meta: ", there));
}

// Said of the resource, not of the kind as other refusals of a field are.
Failure version_required(const api::Kind& kind, std::string_view name) {
  api::FieldProblems problems;
  api::Check(&problems).at("metadata").at("resourceVersion").invalid(0, "must be specified for an update");
  api::Kind resource = kind;
  resource.gvk.kind = kind.plural;
  return invalid(resource, name, problems);
}

// What the server alone writes, as it is in the object that is there.
Outcome<void> keep_identity(const Call& call, const api::ObjectMeta& old, api::ObjectMeta* updated) {
  if (updated->namespace_().empty()) updated->set_namespace_(old.namespace_());
  if (updated->name() != old.name()) {
    return fail(other_name(updated->name(), old.name()));
  }
  if (updated->namespace_() != old.namespace_()) {
    return fail(
        bad_request(cat("the namespace of the provided object does not match the namespace sent on the request: ",
                        quoted(updated->namespace_()), " and ", quoted(old.namespace_()))));
  }
  if (!updated->uid().empty() && updated->uid() != old.uid()) {
    return fail(other_uid(call.kind, old.name(), updated->uid(), old.uid()));
  }
  if (updated->resource_version().empty() && call.kind.updates_by_version) {
    return fail(version_required(call.kind, old.name()));
  }
  if (!updated->resource_version().empty() && updated->resource_version() != old.resource_version()) {
    return fail(conflict(call.kind, old.name(), kModified));
  }
  updated->set_uid(old.uid());
  updated->set_resource_version(old.resource_version());
  *updated->mutable_creation_timestamp() = old.creation_timestamp();
  updated->set_generation(old.generation());
  updated->set_generate_name(old.generate_name());
  updated->set_self_link("");
  if (old.has_deletion_timestamp()) {
    *updated->mutable_deletion_timestamp() = old.deletion_timestamp();
  } else {
    updated->clear_deletion_timestamp();
  }
  if (old.has_deletion_grace_period_seconds()) {
    updated->set_deletion_grace_period_seconds(old.deletion_grace_period_seconds());
  } else {
    updated->clear_deletion_grace_period_seconds();
  }
  return {};
}

Task<Outcome<void>> allow_creation(const Call& call) {
  if (!call.may_create) co_return Outcome<void>();
  co_return co_await call.may_create();
}

// Deleted before, and nothing holds it any more.
bool is_finished(const api::Kind& kind, const api::Message& message) {
  const api::ObjectMeta& metadata = api::metadata_of(message);
  if (!metadata.has_deletion_timestamp() || metadata.finalizers_size() > 0) return false;
  if (kind.grace_period && metadata.deletion_grace_period_seconds() > 0) return false;
  return !(kind.is_held && kind.is_held(message));
}

}  // namespace

Task<Outcome<std::unique_ptr<api::Message>>> ResourceWriter::prepare_update(Call& call, const api::UpdateRules& rules,
                                                                            const Object& current,
                                                                            std::unique_ptr<api::Message> updated) {
  const api::Message& old = *current.message;
  Outcome<void> same = keep_identity(call, api::metadata_of(old), api::mutable_metadata_of(updated.get()));
  if (!same) co_return fail(std::move(same.error()));
  if (call.kind.set_defaults) call.kind.set_defaults(updated.get());
  if (rules.prepare) {
    rules.prepare(old, updated.get());
  } else {
    for (const auto& path : api::kept_fields(call.kind, call.info.subresource)) api::put_back(old, path, updated.get());
  }
  if (Status normal = api::normalize(updated.get()); !normal) co_return fail(bad_request(normal.error().message()));
  if (Outcome<void> tracked = track_update(objects_.kinds(), call, now_(), old, updated.get()); !tracked) {
    co_return fail(std::move(tracked.error()));
  }
  const std::string& name = api::metadata_of(old).name();
  AdmissionRequest request{
      .call = call, .operation = Operation::kUpdate, .name = name, .old = &old, .object = updated.get()};
  if (Outcome<void> admitted = co_await admission_.mutate(request); !admitted) {
    co_return fail(std::move(admitted.error()));
  }
  if (Status normal = api::normalize(updated.get()); !normal) co_return fail(bad_request(normal.error().message()));
  if (call.kind.has_generation && !api::equal_but(old, *updated, {"metadata", "status"})) {
    api::mutable_metadata_of(updated.get())->set_generation(api::metadata_of(old).generation() + 1);
  }
  api::FieldProblems problems = api::validate_object_meta_update(api::metadata_of(old), api::metadata_of(*updated));
  if (call.kind.validate && !rules.changes_alone) {
    // What a change of status leaves as it is was taken once, maybe before there was a rule against it.
    const bool is_of_status = call.subresource != nullptr && call.subresource->name == "status";
    for (api::FieldProblem& problem : call.kind.validate(*updated)) {
      if (!is_of_status || !problem.path.starts_with("spec")) problems.push_back(std::move(problem));
    }
  }
  if (rules.validate) {
    for (api::FieldProblem& problem : rules.validate(old, *updated)) problems.push_back(std::move(problem));
  }
  if (!problems.empty()) co_return fail(invalid(call.kind, name, problems));
  if (call.kind.warnings) {
    for (std::string& warning : call.kind.warnings(*updated)) call.warnings.push_back(std::move(warning));
  }
  if (Outcome<void> admitted = co_await admission_.validate(request); !admitted) {
    co_return fail(std::move(admitted.error()));
  }
  co_return std::move(updated);
}

Task<Outcome<Object>> ResourceWriter::finish_update(Call& call, const Object& current,
                                                    std::unique_ptr<api::Message> updated, bool* lost) {
  *lost = false;
  if (api::equal_but(*current.message, *updated, {}) || differ_in_times_alone(*current.message, *updated)) {
    co_return current;
  }
  const bool finished = is_finished(call.kind, *updated);
  if (call.dry_run) co_return Object{current.entry, std::move(updated)};
  const api::ObjectMeta& metadata = api::metadata_of(*updated);
  Result<Objects::Answer> answer =
      finished
          ? co_await objects_.remove(call.here, call.kind, metadata.namespace_(), metadata.name(), current.revision())
          : co_await objects_.update(call.here, call.kind, current.revision(), std::move(updated));
  if (!answer) co_return fail(from_error(answer.error()));
  if (!answer->done) {
    *lost = true;
    co_return current;
  }
  co_return finished ? Object{current.entry, std::move(updated)} : std::move(*answer->object);
}

Task<Outcome<Object>> ResourceWriter::change(Call& call, std::string name, const api::UpdateRules& rules,
                                             Change change) {
  Outcome<Object> changed = co_await try_change(call, std::move(name), rules, std::move(change));
  co_await settle(call, changed && !call.dry_run);
  co_return changed;
}

Task<Outcome<Object>> ResourceWriter::try_change(Call& call, std::string name, const api::UpdateRules& rules,
                                                 Change change) {
  const size_t warned = call.warnings.size();
  for (int attempt = 1;; ++attempt) {
    Result<std::optional<Object>> current = co_await objects_.find(call.here, call.kind, call.info.ns, name);
    if (!current) co_return fail(from_error(current.error()));
    if (!*current) co_return fail(object_not_found(call.kind, name));
    call.warnings.resize(warned);  // an attempt before has said the same
    Outcome<std::unique_ptr<api::Message>> wanted = change(**current);
    if (!wanted) co_return fail(std::move(wanted.error()));
    Outcome<std::unique_ptr<api::Message>> updated =
        co_await prepare_update(call, rules, **current, std::move(*wanted));
    if (!updated) co_return fail(std::move(updated.error()));
    bool lost = false;
    Outcome<Object> done = co_await finish_update(call, **current, std::move(*updated), &lost);
    if (!done || !lost) co_return done;
    co_await settle(call, false);
    if (attempt == kAttempts) co_return fail(conflict(call.kind, name, kModified));
  }
}

Task<Outcome<Object>> ResourceWriter::replace(Call& call, std::string name, std::unique_ptr<api::Message> message,
                                              bool* created) {
  *created = false;
  const std::shared_ptr<const api::Message> sent(std::move(message));
  const auto copy = [sent](const Object&) -> Outcome<std::unique_ptr<api::Message>> {
    std::unique_ptr<api::Message> made(sent->New());
    made->CopyFrom(*sent);
    return made;
  };
  // A kind may be made by its first PUT; between the two somebody may have made or removed the object.
  for (int attempt = 1;; ++attempt) {
    Outcome<Object> changed = co_await change(call, name, rules_of(call), copy);
    if (changed || changed.error().code != 404 || call.subresource != nullptr || !call.kind.put_creates) {
      co_return changed;
    }
    const api::ObjectMeta& metadata = api::metadata_of(*sent);
    if (metadata.name() != name) co_return fail(other_name(metadata.name(), name));
    if (!metadata.uid().empty()) co_return fail(other_uid(call.kind, name, metadata.uid(), ""));
    if (Outcome<void> allowed = co_await allow_creation(call); !allowed) co_return fail(std::move(allowed.error()));
    std::unique_ptr<api::Message> first(sent->New());
    first->CopyFrom(*sent);
    api::mutable_metadata_of(first.get())->clear_resource_version();
    Outcome<Object> made = co_await create(call, std::move(first));
    *created = made.has_value();
    if (made || made.error().reason != "AlreadyExists" || attempt == kAttempts) co_return made;
  }
}

Task<Outcome<Object>> ResourceWriter::patch(Call& call, std::string name, Patch patch, bool* created) {
  *created = false;
  const std::shared_ptr<const Patch> shared = std::make_shared<Patch>(std::move(patch));
  const api::Timestamp now = now_();
  const auto patched = [this, &call, shared, now](const Object& current) -> Outcome<std::unique_ptr<api::Message>> {
    Outcome<api::Value> document = apply_patch(objects_.kinds(), call, *shared, *current.message, now);
    if (!document) return fail(std::move(document.error()));
    Outcome<Decoded> decoded = decode_document(call.kind, *document, call.field_validation);
    if (!decoded) return fail(std::move(decoded.error()));
    for (std::string& warning : decoded->warnings) call.warnings.push_back(std::move(warning));
    return std::move(decoded->message);
  };
  if (shared->type != PatchType::kApply) co_return co_await change(call, name, rules_of(call), patched);
  // An apply makes the object when there is none; between the two somebody may have made or removed it.
  for (int attempt = 1;; ++attempt) {
    Outcome<Object> changed = co_await change(call, name, rules_of(call), patched);
    if (changed || changed.error().code != 404 || call.subresource != nullptr) co_return changed;
    if (Outcome<void> allowed = co_await allow_creation(call); !allowed) co_return fail(std::move(allowed.error()));
    Outcome<api::Value> document = apply_onto_nothing(objects_.kinds(), call, name, shared->document, now_());
    if (!document) co_return fail(std::move(document.error()));
    Outcome<Decoded> decoded = decode_document(call.kind, *document, call.field_validation);
    if (!decoded) co_return fail(std::move(decoded.error()));
    *created = true;
    Outcome<Object> made = co_await create(call, std::move(decoded->message));
    if (made || made.error().reason != "AlreadyExists" || attempt == kAttempts) co_return made;
    *created = false;
  }
}

}  // namespace gantry::control
