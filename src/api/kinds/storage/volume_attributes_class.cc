// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/storage/kinds.h"
#include "kubernetes/storage/v1/storage_class.pb.h"

namespace gantry::api {

namespace {

namespace storage = k8s::io::api::storage::v1;

std::vector<Value> row(const storage::VolumeAttributesClass& object, int64_t now) {
  return {object.metadata().name(), object.driver_name(), age(object.metadata(), now)};
}

}  // namespace

Kind volume_attributes_class_kind() {
  Kind kind = make_kind<storage::VolumeAttributesClass>("volumeattributesclasses", "volumeattributesclass", {"vac"});
  kind.namespaced = false;
  kind.storage = "volumeattributesclasses";
  kind.table = {{name_column(), column("DriverName", "string", "The driver that it is for."), age_column()},
                over(&row)};
  return kind;
}

}  // namespace gantry::api
