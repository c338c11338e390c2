// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/core/kinds.h"
#include "kubernetes/core/v1/object_reference.pb.h"

namespace gantry::api {

// The old way to say which node a pod gets; pods/binding is the new one. Nothing is stored.
Kind binding_kind() {
  Kind kind = make_kind<k8s::io::api::core::v1::Binding>("bindings", "binding");
  kind.verbs = static_cast<Verbs>(Verb::kCreate);
  return kind;
}

}  // namespace gantry::api
