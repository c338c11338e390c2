// SPDX-License-Identifier: Apache-2.0
#include "api/defaults.h"
#include "api/kind_parts.h"
#include "api/kinds/core/amounts.h"
#include "api/kinds/core/kinds.h"
#include "api/kinds/core/volume_text.h"
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

}  // namespace

Kind persistent_volume_kind() {
  Kind kind = make_kind<core::PersistentVolume>("persistentvolumes", "persistentvolume", {"pv"});
  kind.namespaced = false;
  kind.storage = "persistentvolumes";
  kind.set_defaults = over(&set_defaults);
  kind.table = table();
  add_status(&kind);
  return kind;
}

}  // namespace gantry::api
