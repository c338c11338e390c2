// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/storage/kinds.h"
#include "kubernetes/storage/v1/csi.pb.h"

namespace gantry::api {

namespace {

namespace storage = k8s::io::api::storage::v1;

std::vector<Value> row(const storage::CSIStorageCapacity& object, int64_t) {
  return {object.metadata().name(), object.storage_class_name(),
          object.has_capacity() ? Value(object.capacity().string()) : Value(kUnset)};
}

}  // namespace

Kind csi_storage_capacity_kind() {
  Kind kind = make_kind<storage::CSIStorageCapacity>("csistoragecapacities", "csistoragecapacity");
  kind.storage = "csistoragecapacities";
  kind.table = {{name_column(), column("StorageClassName", "string", "The class whose capacity it is."),
                 column("Capacity", "string", "What is left.")},
                over(&row)};
  return kind;
}

}  // namespace gantry::api
