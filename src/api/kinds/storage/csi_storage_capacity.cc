// SPDX-License-Identifier: Apache-2.0
#include "api/check.h"
#include "api/kind_parts.h"
#include "api/kinds/storage/kinds.h"
#include "api/names.h"
#include "api/quantity.h"
#include "kubernetes/storage/v1/csi.pb.h"

namespace gantry::api {

namespace {

namespace storage = k8s::io::api::storage::v1;

std::vector<Value> row(const storage::CSIStorageCapacity& object, int64_t) {
  return {object.metadata().name(), object.storage_class_name(),
          object.has_capacity() ? Value(object.capacity().string()) : Value(kUnset)};
}

FieldProblems validate(const storage::CSIStorageCapacity& object) {
  FieldProblems problems;
  const Check check(&problems);
  if (object.has_node_topology()) check_label_selector(object.node_topology(), check.at("nodeTopology"));
  check.at("storageClassName").well_formed(object.storage_class_name(), check_dns1123_subdomain);
  const Result<Quantity> capacity = Quantity::parse(object.capacity().string());
  if (object.has_capacity() && capacity && capacity->is_negative()) {
    check.at("capacity").invalid(object.capacity().string(), "must not be negative");
  }
  return problems;
}

FieldProblems validate_update(const storage::CSIStorageCapacity& old, const storage::CSIStorageCapacity& updated) {
  FieldProblems problems;
  const Check check(&problems);
  if (old.has_node_topology() != updated.has_node_topology() || !equal(old.node_topology(), updated.node_topology())) {
    check.at("nodeTopology").invalid("", "field is immutable");
  }
  if (old.storage_class_name() != updated.storage_class_name()) {
    check.at("storageClassName").invalid(updated.storage_class_name(), "field is immutable");
  }
  return problems;
}

}  // namespace

Kind csi_storage_capacity_kind() {
  Kind kind = make_kind<storage::CSIStorageCapacity>("csistoragecapacities", "csistoragecapacity");
  kind.storage = "csistoragecapacities";
  kind.updates_by_version = true;
  kind.validate = over(&validate);
  kind.update.validate = over(&validate_update);
  kind.table = {{name_column(), column("StorageClassName", "string", "The class whose capacity it is."),
                 column("Capacity", "string", "What is left.")},
                over(&row)};
  return kind;
}

}  // namespace gantry::api
