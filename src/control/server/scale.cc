// SPDX-License-Identifier: Apache-2.0
#include "control/server/scale.h"

#include "api/check.h"
#include "api/codec.h"
#include "api/metadata.h"
#include "base/text.h"
#include "control/server/managers.h"
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

Outcome<std::unique_ptr<api::Message>> with_scale(const api::Kind& kind, const api::Message& object,
                                                  const api::Message& wanted) {
  const auto& scale = static_cast<const Scale&>(wanted);
  const api::ObjectMeta& metadata = api::metadata_of(object);
  if (scale.spec().replicas() < 0) {
    api::FieldProblems problems;
    api::Check(&problems).at("spec").at("replicas").not_negative(scale.spec().replicas());
    Failure failure = invalid(kind, metadata.name(), problems);
    failure.group = "autoscaling";
    failure.kind = "Scale";
    return fail(std::move(failure));
  }
  if (!scale.metadata().name().empty() && scale.metadata().name() != metadata.name()) {
    return fail(bad_request(
        cat("the scale is of ", quoted(scale.metadata().name()), ", and the URL names ", quoted(metadata.name()))));
  }
  api::Value document = api::encode(object);
  set_number(&document, kind.scale->replicas_path, scale.spec().replicas());
  Outcome<Decoded> decoded = decode_document(kind, document, FieldValidation::kIgnore);
  if (!decoded) return fail(std::move(decoded.error()));
  api::ObjectMeta* updated = api::mutable_metadata_of(decoded->message.get());
  updated->set_resource_version(scale.metadata().resource_version());
  if (!scale.metadata().uid().empty()) updated->set_uid(scale.metadata().uid());
  return std::move(decoded->message);
}

Outcome<std::unique_ptr<api::Message>> with_patched_scale(const Call& call, PatchType type, const api::Value& patch,
                                                          const api::Message& object) {
  Outcome<std::unique_ptr<api::Message>> scale = scale_of(call.kind, object);
  if (!scale) return scale;
  const api::Schema& schema = api::schema_of(*Scale::descriptor());
  Outcome<api::Value> patched = patch_document(call, schema, type, patch, api::encode(**scale));
  if (!patched) return fail(std::move(patched.error()));
  Scale wanted;
  if (Status decoded = api::decode(*patched, &wanted, {.strict = false}); !decoded) {
    return fail(bad_request(decoded.error().message()));
  }
  return with_scale(call.kind, object, wanted);
}

}  // namespace gantry::control
