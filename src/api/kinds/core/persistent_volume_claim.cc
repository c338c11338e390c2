// SPDX-License-Identifier: Apache-2.0
#include "api/defaults.h"
#include "api/kind_parts.h"
#include "api/kinds/core/amounts.h"
#include "api/kinds/core/claim.h"
#include "api/kinds/core/kinds.h"
#include "api/kinds/core/volume_text.h"
#include "api/quantity.h"
#include "kubernetes/core/v1/persistent_volume_claim.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

std::vector<Value> row(const core::PersistentVolumeClaim& object, int64_t now) {
  const core::PersistentVolumeClaimSpec& spec = object.spec();
  const bool bound = !spec.volume_name().empty();
  const bool deleting = object.metadata().has_deletion_timestamp();
  return {object.metadata().name(),
          deleting ? "Terminating" : object.status().phase(),
          spec.volume_name(),
          bound ? storage_amount(object.status().capacity()) : "",
          bound ? access_modes_text(object.status().access_modes()) : "",
          class_of(object.metadata(), spec.storage_class_name()),
          spec.has_volume_attributes_class_name() ? Value(spec.volume_attributes_class_name()) : Value(kUnset),
          age(object.metadata(), now),
          spec.has_volume_mode() ? Value(spec.volume_mode()) : Value(kUnset)};
}

TableRules table() {
  return {{name_column(), column("Status", "string", "Whether it has a volume."),
           column("Volume", "string", "The volume that it has."),
           column("Capacity", "string", "How much the volume holds."),
           column("Access Modes", "string", "How the volume can be mounted."),
           column("StorageClass", "string", "The class that it asks for."),
           column("VolumeAttributesClass", "string", "The class of attributes that it asks for."), age_column(),
           wide_column("VolumeMode", "string", "Filesystem or Block.")},
          over(&row)};
}

bool is_old_source(const core::TypedLocalObjectReference& source) {
  if (source.kind() == "PersistentVolumeClaim") return source.api_group().empty();
  return source.kind() == "VolumeSnapshot" && source.api_group() == "snapshot.storage.k8s.io";
}

// The two fields that say of what a claim is a copy say the same, where the older one can say it.
void mirror_sources(core::PersistentVolumeClaimSpec* spec) {
  if (spec->has_data_source() && !spec->has_data_source_ref() && is_old_source(spec->data_source())) {
    core::TypedObjectReference* reference = spec->mutable_data_source_ref();
    if (spec->data_source().has_api_group()) reference->set_api_group(spec->data_source().api_group());
    reference->set_kind(spec->data_source().kind());
    reference->set_name(spec->data_source().name());
  } else if (spec->has_data_source_ref() && !spec->has_data_source() && spec->data_source_ref().namespace_().empty()) {
    core::TypedLocalObjectReference* source = spec->mutable_data_source();
    if (spec->data_source_ref().has_api_group()) source->set_api_group(spec->data_source_ref().api_group());
    source->set_kind(spec->data_source_ref().kind());
    source->set_name(spec->data_source_ref().name());
  }
}

void set_defaults(core::PersistentVolumeClaim* object) {
  apply_constant_defaults(object);
  if (object->status().phase().empty()) object->mutable_status()->set_phase("Pending");
  default_claim_spec(object->mutable_spec());
  mirror_sources(object->mutable_spec());
}

// The older field is ignored when it names what it could not name at first.
void prepare_create(core::PersistentVolumeClaim* object) {
  core::PersistentVolumeClaimSpec* spec = object->mutable_spec();
  if (spec->has_data_source() && !spec->has_data_source_ref()) spec->clear_data_source();
  object->mutable_status()->set_phase("Pending");
}

FieldProblems validate(const core::PersistentVolumeClaim& object) {
  FieldProblems problems;
  check_claim_spec(object.spec(), Check(&problems).at("spec"));
  return problems;
}

FieldProblems validate_update(const core::PersistentVolumeClaim& old, const core::PersistentVolumeClaim& updated) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec");
  const core::PersistentVolumeClaimSpec& before = old.spec();
  core::PersistentVolumeClaimSpec spec = updated.spec();
  const auto size = [](const core::PersistentVolumeClaimSpec& of) {
    const auto amount = of.resources().requests().find("storage");
    return amount == of.resources().requests().end() ? Quantity()
                                                     : Quantity::parse(amount->second.string()).value_or(Quantity());
  };
  // A claim may be bound, get the default class, and, once it is bound, ask for more.
  if (before.volume_name().empty()) spec.set_volume_name(before.volume_name());
  if (!before.has_storage_class_name()) spec.clear_storage_class_name();
  if (updated.status().phase() == "Bound") {
    *spec.mutable_resources()->mutable_requests() = before.resources().requests();
    spec.clear_volume_attributes_class_name();
    if (before.has_volume_attributes_class_name()) {
      spec.set_volume_attributes_class_name(before.volume_attributes_class_name());
    }
  }
  if (!equal(before, spec)) {
    check.forbidden(
        "is immutable after creation, but resources.requests and volumeAttributesClassName of bound claims");
  }
  if (size(updated.spec()).compare(size(before)) < 0) {
    const auto capacity = updated.status().capacity().find("storage");
    const Quantity has = capacity == updated.status().capacity().end()
                             ? Quantity()
                             : Quantity::parse(capacity->second.string()).value_or(Quantity());
    if (size(updated.spec()).compare(has) <= 0) {
      check.at("resources").at("requests").at("storage").forbidden("can not be less than status.capacity");
    }
  }
  if (before.volume_mode() != updated.spec().volume_mode()) {
    Check(&problems).at("volumeMode").invalid(updated.spec().volume_mode(), "field is immutable");
  }
  return problems;
}

}  // namespace

Kind persistent_volume_claim_kind() {
  Kind kind = make_kind<core::PersistentVolumeClaim>("persistentvolumeclaims", "persistentvolumeclaim", {"pvc"});
  kind.storage = "persistentvolumeclaims";
  kind.answers_deleted = true;
  kind.validate = over(&validate);
  kind.update.validate = over(&validate_update);
  kind.set_defaults = over(&set_defaults);
  kind.prepare_create = over(&prepare_create);
  kind.table = table();
  add_status(&kind);
  return kind;
}

}  // namespace gantry::api
