// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/core/kinds.h"
#include "kubernetes/core/v1/config.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

std::vector<Value> row(const core::Secret& object, int64_t now) {
  return {object.metadata().name(), object.type(), static_cast<int64_t>(object.data_size()),
          age(object.metadata(), now)};
}

std::vector<std::string> selectable(const core::Secret& object) { return {object.type()}; }

}  // namespace

Kind secret_kind() {
  Kind kind = make_kind<core::Secret>("secrets", "secret");
  kind.storage = "secrets";
  kind.selectable = {"type"};
  kind.selectable_values = over(&selectable);
  kind.table = {{name_column(), column("Type", "string", "What its keys mean."),
                 column("Data", "string", "How many keys it has."), age_column()},
                over(&row)};
  return kind;
}

}  // namespace gantry::api
