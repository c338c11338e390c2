// SPDX-License-Identifier: Apache-2.0
#include "control/server/scale.h"

#include "api/check.h"
#include "api/codec.h"
#include "api/metadata.h"
#include "base/text.h"
#include "control/server/managers.h"
#include "control/server/scale_owners.h"
#include "kubernetes/autoscaling/v1/autoscaling.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace {

using Scale = k8s::io::api::autoscaling::v1::Scale;

int32_t number_at(const api::Value& document, const std::vector<std::string>& path) {
  const api::Value* value = &document;
  for (const std::string& step : path) {
    value = value->find(step);
    if (value == nullptr) return 0;
  }
  return static_cast<int32_t>(value->as_int64().value_or(0));
}

void set_number(api::Value* document, const std::vector<std::string>& path, int32_t number) {
  api::Value* value = document;
  for (const std::string& step : path) {
    if (!value->is_object()) *value = api::Value(api::Value::Object{});
    value = &(*value)[step];
  }
  *value = number;
}

const api::Value* managed_fields_in(const api::Value& document) {
  const api::Value* metadata = document.find("metadata");
  return metadata == nullptr ? nullptr : metadata->find("managedFields");
}

// Those of a document that says nothing that can be read are none.
api::ManagedFields owners_in(const api::Value& document) {
  const api::Value* list = managed_fields_in(document);
  Result<api::ManagedFields> owners = api::decode_managed_fields(list == nullptr ? api::Value() : *list);
  return owners ? std::move(*owners) : api::ManagedFields();
}

ReplicasField replicas_of(const api::Kind& kind) { return {kind.gvk.api_version(), kind.scale->replicas_path}; }

Outcome<api::Value> owned_scale_of(const api::Kind& kind, const api::Message& object) {
  Outcome<std::unique_ptr<api::Message>> scale = scale_of(kind, object);
  if (!scale) return fail(std::move(scale.error()));
  api::Value document = api::encode(**scale);
  const api::ManagedFields owners = owners_of_scale(replicas_of(kind), owners_in(api::encode(object)));
  document["metadata"]["managedFields"] = api::encode_managed_fields(owners);
  return document;
}

}  // namespace

std::unique_ptr<api::Message> make_scale() { return std::make_unique<Scale>(); }

Outcome<std::unique_ptr<api::Message>> scale_of(const api::Kind& kind, const api::Message& object) {
  const api::Value document = api::encode(object);
  const api::ObjectMeta& metadata = api::metadata_of(object);
  auto scale = std::make_unique<Scale>();
  scale->mutable_metadata()->set_name(metadata.name());
  scale->mutable_metadata()->set_namespace_(metadata.namespace_());
  scale->mutable_metadata()->set_uid(metadata.uid());
  scale->mutable_metadata()->set_resource_version(metadata.resource_version());
  *scale->mutable_metadata()->mutable_creation_timestamp() = metadata.creation_timestamp();
  scale->mutable_spec()->set_replicas(number_at(document, kind.scale->replicas_path));
  scale->mutable_status()->set_replicas(number_at(document, kind.scale->status_replicas_path));
  if (kind.scale->selector) scale->mutable_status()->set_selector(kind.scale->selector(object));
  if (Status normal = api::normalize(scale.get()); !normal) return fail(from_error(normal.error()));
  return scale;
}

namespace {

Failure negative_replicas(const api::Kind& kind, std::string_view name, int32_t replicas) {
  api::FieldProblems problems;
  api::Check(&problems).at("spec").at("replicas").not_negative(replicas);
  Failure failure = invalid(kind, name, problems);
  failure.group = "autoscaling";
  failure.kind = "Scale";
  return failure;
}

Outcome<std::unique_ptr<api::Message>> with_document(const api::Kind& kind, const api::Value& document,
                                                     const api::Message& object) {
  Scale scale;
  if (Status decoded = api::decode(document, &scale, {.strict = false}); !decoded) {
    return fail(bad_request(decoded.error().message()));
  }
  const api::ObjectMeta& metadata = api::metadata_of(object);
  if (scale.spec().replicas() < 0) {
    return fail(negative_replicas(kind, metadata.name(), scale.spec().replicas()));
  }
  if (!scale.metadata().name().empty() && scale.metadata().name() != metadata.name()) {
    return fail(bad_request(
        cat("the scale is of ", quoted(scale.metadata().name()), ", and the URL names ", quoted(metadata.name()))));
  }
  api::Value whole = api::encode(object);
  const api::ManagedFields owners = owners_after_scale(replicas_of(kind), owners_in(whole), owners_in(document));
  set_number(&whole, kind.scale->replicas_path, scale.spec().replicas());
  whole["metadata"]["managedFields"] = api::encode_managed_fields(owners);
  Outcome<Decoded> decoded = decode_document(kind, whole, FieldValidation::kIgnore);
  if (!decoded) return fail(std::move(decoded.error()));
  api::ObjectMeta* updated = api::mutable_metadata_of(decoded->message.get());
  updated->set_resource_version(scale.metadata().resource_version());
  if (!scale.metadata().uid().empty()) updated->set_uid(scale.metadata().uid());
  return std::move(decoded->message);
}

}  // namespace

Outcome<std::unique_ptr<api::Message>> with_scale(const Call& call, const api::Message& sent,
                                                  const api::Message& object, api::Timestamp now) {
  Outcome<api::Value> live = owned_scale_of(call.kind, object);
  if (!live) return fail(std::move(live.error()));
  const api::Schema& schema = api::schema_of(*Scale::descriptor());
  return with_document(call.kind, replace_scale(call, schema, api::encode(sent), *live, now), object);
}

Outcome<std::unique_ptr<api::Message>> with_patched_scale(Call& call, const ResourceWriter::Patch& patch,
                                                          const api::Message& object, api::Timestamp now) {
  Outcome<api::Value> live = owned_scale_of(call.kind, object);
  if (!live) return fail(std::move(live.error()));
  const api::Schema& schema = api::schema_of(*Scale::descriptor());
  const bool is_apply = patch.type == PatchType::kApply;
  Outcome<api::Value> patched = is_apply ? apply_scale(call, schema, patch, *live, now)
                                         : patch_document(call, schema, patch.type, patch.document, *live);
  if (!patched) return fail(std::move(patched.error()));
  Outcome<Decoded> wanted = decode_document(*Scale::descriptor(), make_scale(), *patched, call.field_validation);
  if (!wanted) return fail(std::move(wanted.error()));
  for (std::string& warning : wanted->warnings) call.warnings.push_back(std::move(warning));
  if (is_apply) return with_document(call.kind, *patched, object);
  // In the one form: who asks for none owns nothing, as upstream has it, where no replicas are not written.
  return with_document(call.kind, replace_scale(call, schema, api::encode(*wanted->message), *live, now), object);
}

}  // namespace gantry::control
