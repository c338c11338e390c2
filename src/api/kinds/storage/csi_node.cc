// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/storage/kinds.h"
#include "kubernetes/storage/v1/csi.pb.h"

namespace gantry::api {

namespace {

namespace storage = k8s::io::api::storage::v1;

std::vector<Value> row(const storage::CSINode& object, int64_t now) {
  return {object.metadata().name(), object.spec().drivers_size(), age(object.metadata(), now)};
}

}  // namespace

Kind csi_node_kind() {
  Kind kind = make_kind<storage::CSINode>("csinodes", "csinode");
  kind.namespaced = false;
  kind.storage = "csinodes";
  kind.table = {{name_column(), column("Drivers", "integer", "How many drivers the node has."), age_column()},
                over(&row)};
  return kind;
}

}  // namespace gantry::api
