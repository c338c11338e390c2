// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/descriptor.h>

#include "api/defaults.h"
#include "api/kind_parts.h"
#include "api/kinds/core/amounts.h"
#include "api/kinds/core/claim.h"
#include "api/kinds/core/kinds.h"
#include "api/kinds/core/persistent_volume_rules.h"
#include "api/kinds/core/volume_text.h"
#include "api/names.h"
#include "api/quantity.h"
#include "base/text.h"
#include "kubernetes/core/v1/persistent_volume.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

std::vector<Value> row(const core::PersistentVolume& object, int64_t now) {
  const core::PersistentVolumeSpec& spec = object.spec();
  const bool deleting = object.metadata().has_deletion_timestamp();
  return {object.metadata().name(),
          storage_amount(spec.capacity()),
          access_modes_text(spec.access_modes()),
          spec.persistent_volume_reclaim_policy(),
          deleting ? "Terminating" : object.status().phase(),
          spec.has_claim_ref() ? cat(spec.claim_ref().namespace_(), "/", spec.claim_ref().name()) : "",
          class_of(object.metadata(), spec.storage_class_name()),
          spec.has_volume_attributes_class_name() ? Value(spec.volume_attributes_class_name()) : Value(kUnset),
          object.status().reason(),
          age(object.metadata(), now),
          spec.has_volume_mode() ? Value(spec.volume_mode()) : Value(kUnset)};
}

TableRules table() {
  return {{name_column(), column("Capacity", "string", "How much it holds."),
           column("Access Modes", "string", "How it can be mounted."),
           column("Reclaim Policy", "string", "What becomes of it when its claim is gone."),
           column("Status", "string", "Whether a claim has it."),
           column("Claim", "string", "The claim that has it, or may."),
           column("StorageClass", "string", "The class it belongs to."),
           column("VolumeAttributesClass", "string", "The class of its attributes."),
           column("Reason", "string", "Why it is in this state."), age_column(),
           wide_column("VolumeMode", "string", "Filesystem or Block.")},
          over(&row)};
}

void set_defaults(core::PersistentVolume* object) {
  apply_constant_defaults(object);
  core::PersistentVolumeSpec* spec = object->mutable_spec();
  if (object->status().phase().empty()) object->mutable_status()->set_phase("Pending");
  if (spec->persistent_volume_reclaim_policy().empty()) spec->set_persistent_volume_reclaim_policy("Retain");
  if (!spec->has_volume_mode()) spec->set_volume_mode("Filesystem");
  round_amounts(spec->mutable_capacity());
  core::PersistentVolumeSource* source = spec->mutable_persistent_volume_source();
  if (source->has_host_path() && !source->host_path().has_type()) source->mutable_host_path()->set_type("");
}

void prepare_create(core::PersistentVolume* object) {
  object->mutable_status()->set_phase("Pending");
  *object->mutable_status()->mutable_last_phase_transition_time() = object->metadata().creation_timestamp();
}

FieldProblems validate(const core::PersistentVolume& object) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec");
  const core::PersistentVolumeSpec& spec = object.spec();
  check_access_modes(spec.access_modes(), check.at("accessModes"));
  const Check capacity = check.at("capacity");
  if (spec.capacity().empty()) capacity.required();
  if (spec.capacity().size() != 1 || !spec.capacity().contains("storage")) {
    capacity.one_of(spec.capacity().empty() ? "" : spec.capacity().begin()->first, {"storage alone"});
  }
  for (const auto& [name, amount] : spec.capacity()) {
    const Result<Quantity> quantity = Quantity::parse(amount.string());
    if (quantity && (quantity->is_zero() || quantity->is_negative())) {
      capacity.key(name).invalid(amount.string(), "must be greater than zero");
    }
  }
  check.at("persistentVolumeReclaimPolicy")
      .one_of(spec.persistent_volume_reclaim_policy(), {"Delete", "Recycle", "Retain"});
  std::vector<const google::protobuf::FieldDescriptor*> sources;
  const core::PersistentVolumeSource& source = spec.persistent_volume_source();
  source.GetReflection()->ListFields(source, &sources);
  if (sources.empty()) check.required("must specify a volume type");
  for (size_t i = 1; i < sources.size(); ++i) {
    check.at(sources[i]->json_name())
        .forbidden(cat("a volume has one source, and ", sources[0]->json_name(), " is set"));
  }
  check_persistent_source(spec, check);
  check_volume_affinity(spec, check.at("nodeAffinity"));
  check.at("storageClassName").optional_name(spec.storage_class_name(), check_dns1123_subdomain);
  if (spec.has_volume_mode()) check.at("volumeMode").one_of(spec.volume_mode(), {"Block", "Filesystem"});
  return problems;
}

FieldProblems validate_update(const core::PersistentVolume& old, const core::PersistentVolume& updated) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec");
  if (!equal(old.spec().persistent_volume_source(), updated.spec().persistent_volume_source())) {
    check.at("persistentvolumesource").forbidden("is immutable after creation");
  }
  if (old.spec().volume_mode() != updated.spec().volume_mode()) {
    Check(&problems).at("volumeMode").invalid(updated.spec().volume_mode(), "field is immutable");
  }
  if (old.spec().has_node_affinity() && !equal(old.spec().node_affinity(), updated.spec().node_affinity())) {
    Check(&problems).at("nodeAffinity").invalid("", "field is immutable");
  }
  return problems;
}

}  // namespace

Kind persistent_volume_kind() {
  Kind kind = make_kind<core::PersistentVolume>("persistentvolumes", "persistentvolume", {"pv"});
  kind.namespaced = false;
  kind.storage = "persistentvolumes";
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
