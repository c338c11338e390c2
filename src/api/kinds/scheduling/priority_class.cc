// SPDX-License-Identifier: Apache-2.0
#include "api/check.h"
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

constexpr int32_t kHighestOfUsers = 1'000'000'000;

FieldProblems validate(const scheduling::PriorityClass& object) {
  FieldProblems problems;
  const Check check(&problems);
  const std::string& name = object.metadata().name();
  if (name.starts_with("system-")) {
    const int32_t known = name == "system-node-critical"      ? 2 * kHighestOfUsers + 1000
                          : name == "system-cluster-critical" ? 2 * kHighestOfUsers
                                                              : 0;
    if (known == 0 || object.value() != known || object.global_default()) {
      check.at("metadata").at("name").forbidden("names that begin with system- are the system's own");
    }
  } else if (object.value() > kHighestOfUsers) {
    check.at("value").forbidden("must be at most 1000000000");
  }
  if (object.has_preemption_policy()) {
    check.at("preemptionPolicy").one_of(object.preemption_policy(), {"Never", "PreemptLowerPriority"});
  }
  return problems;
}

FieldProblems validate_update(const scheduling::PriorityClass& old, const scheduling::PriorityClass& updated) {
  FieldProblems problems;
  const Check check(&problems);
  if (old.value() != updated.value()) check.at("value").forbidden("may not be changed in an update");
  if (old.preemption_policy() != updated.preemption_policy()) {
    check.at("preemptionPolicy").invalid(updated.preemption_policy(), "field is immutable");
  }
  return problems;
}

}  // namespace

Kind priority_class_kind() {
  Kind kind = make_kind<scheduling::PriorityClass>("priorityclasses", "priorityclass", {"pc"});
  kind.namespaced = false;
  kind.storage = "priorityclasses";
  kind.validate = over(&validate);
  kind.update.validate = over(&validate_update);
  kind.set_defaults = over(&set_defaults);
  kind.has_generation = true;
  kind.table = {{name_column(), column("Value", "integer", "The priority of its pods."),
                 column("Global-Default", "boolean", "Whether pods that name no class get it."), age_column(),
                 wide_column("PreemptionPolicy", "string", "Whether its pods may take others' place.")},
                over(&row)};
  return kind;
}

}  // namespace gantry::api
