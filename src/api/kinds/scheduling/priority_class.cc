// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/scheduling/kinds.h"
#include "kubernetes/scheduling/v1/priority_class.pb.h"

namespace gantry::api {

namespace {

namespace scheduling = k8s::io::api::scheduling::v1;

std::vector<Value> row(const scheduling::PriorityClass& object, int64_t now) {
  return {object.metadata().name(), object.value(), object.global_default(), age(object.metadata(), now),
          object.preemption_policy()};
}

void set_defaults(scheduling::PriorityClass* object) {
  if (!object->has_preemption_policy()) object->set_preemption_policy("PreemptLowerPriority");
}

}  // namespace

Kind priority_class_kind() {
  Kind kind = make_kind<scheduling::PriorityClass>("priorityclasses", "priorityclass", {"pc"});
  kind.namespaced = false;
  kind.storage = "priorityclasses";
  kind.set_defaults = over(&set_defaults);
  kind.has_generation = true;
  kind.table = {{name_column(), column("Value", "integer", "The priority of its pods."),
                 column("Global-Default", "boolean", "Whether pods that name no class get it."), age_column(),
                 wide_column("PreemptionPolicy", "string", "Whether its pods may take others' place.")},
                over(&row)};
  return kind;
}

}  // namespace gantry::api
