// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/node/kinds.h"
#include "kubernetes/node/v1/runtime_class.pb.h"

namespace gantry::api {

namespace {

namespace node = k8s::io::api::node::v1;

std::vector<Value> row(const node::RuntimeClass& object, int64_t now) {
  return {object.metadata().name(), object.handler(), age(object.metadata(), now)};
}

}  // namespace

Kind runtime_class_kind() {
  Kind kind = make_kind<node::RuntimeClass>("runtimeclasses", "runtimeclass");
  kind.namespaced = false;
  kind.storage = "runtimeclasses";
  kind.table = {{name_column(), column("Handler", "string", "What nodes call the runtime."), age_column()}, over(&row)};
  return kind;
}

}  // namespace gantry::api
