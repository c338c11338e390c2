// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/core/kinds.h"
#include "kubernetes/core/v1/config.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

std::vector<Value> row(const core::ConfigMap& object, int64_t now) {
  return {object.metadata().name(), static_cast<int64_t>(object.data_size() + object.binary_data_size()),
          age(object.metadata(), now)};
}

}  // namespace

Kind config_map_kind() {
  Kind kind = make_kind<core::ConfigMap>("configmaps", "configmap", {"cm"});
  kind.storage = "configmaps";
  kind.table = {{name_column(), column("Data", "string", "How many keys it has."), age_column()}, over(&row)};
  return kind;
}

}  // namespace gantry::api
