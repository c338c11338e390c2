// SPDX-License-Identifier: Apache-2.0
#include <set>
#include <tuple>

#include "api/check.h"
#include "api/kind_parts.h"
#include "api/kinds/core/pod_rules.h"
#include "api/kinds/node/kinds.h"
#include "api/names.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/node/v1/runtime_class.pb.h"

namespace gantry::api {

namespace {

namespace node = k8s::io::api::node::v1;

std::vector<Value> row(const node::RuntimeClass& object, int64_t now) {
  return {object.metadata().name(), object.handler(), age(object.metadata(), now)};
}

void check_scheduling(const node::Scheduling& scheduling, const Check& check) {
  check_labels(scheduling.node_selector(), check.at("nodeSelector"));
  const Check tolerations = check.at("tolerations");
  check_tolerations(scheduling.tolerations(), tolerations);
  std::set<std::tuple<std::string, std::string, std::string, std::string>> seen;
  for (int i = 0; i < scheduling.tolerations_size(); ++i) {
    const auto& toleration = scheduling.tolerations(i);
    if (!seen.emplace(toleration.key(), toleration.operator_(), toleration.value(), toleration.effect()).second) {
      tolerations[i].duplicate(toleration.key());
    }
  }
}

FieldProblems validate(const node::RuntimeClass& object) {
  FieldProblems problems;
  const Check check(&problems);
  check.at("handler").name(object.handler(), check_dns1123_label);
  if (object.has_overhead()) {
    k8s::io::api::core::v1::ResourceRequirements overhead;
    *overhead.mutable_limits() = object.overhead().pod_fixed();
    check_resources(overhead, check.at("overhead"));
  }
  if (object.has_scheduling()) check_scheduling(object.scheduling(), check.at("scheduling"));
  return problems;
}

FieldProblems validate_update(const node::RuntimeClass& old, const node::RuntimeClass& updated) {
  FieldProblems problems;
  if (old.handler() != updated.handler()) {
    Check(&problems).at("handler").invalid(updated.handler(), "field is immutable");
  }
  return problems;
}

}  // namespace

Kind runtime_class_kind() {
  Kind kind = make_kind<node::RuntimeClass>("runtimeclasses", "runtimeclass");
  kind.namespaced = false;
  kind.storage = "runtimeclasses";
  kind.updates_by_version = true;
  kind.put_creates = true;
  kind.validate = over(&validate);
  kind.update.validate = over(&validate_update);
  kind.table = {{name_column(), column("Handler", "string", "What nodes call the runtime."), age_column()}, over(&row)};
  return kind;
}

}  // namespace gantry::api
