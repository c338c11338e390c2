// SPDX-License-Identifier: Apache-2.0
#include "api/defaults.h"
#include "api/kind_parts.h"
#include "api/kinds/core/amounts.h"
#include "api/kinds/core/claim.h"
#include "api/kinds/core/kinds.h"
#include "api/kinds/core/volume_text.h"
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

void set_defaults(core::PersistentVolumeClaim* object) {
  apply_constant_defaults(object);
  if (object->status().phase().empty()) object->mutable_status()->set_phase("Pending");
  default_claim_spec(object->mutable_spec());
}

}  // namespace

void default_claim_spec(core::PersistentVolumeClaimSpec* spec) {
  if (!spec->has_volume_mode()) spec->set_volume_mode("Filesystem");
  round_amounts(spec->mutable_resources()->mutable_requests());
  round_amounts(spec->mutable_resources()->mutable_limits());
}

Kind persistent_volume_claim_kind() {
  Kind kind = make_kind<core::PersistentVolumeClaim>("persistentvolumeclaims", "persistentvolumeclaim", {"pvc"});
  kind.storage = "persistentvolumeclaims";
  kind.set_defaults = over(&set_defaults);
  kind.table = table();
  add_status(&kind);
  return kind;
}

}  // namespace gantry::api
