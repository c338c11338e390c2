// SPDX-License-Identifier: Apache-2.0
#include "api/defaults.h"
#include "api/kind_parts.h"
#include "api/kinds/apps/kinds.h"
#include "api/kinds/core/pod_template.h"
#include "api/kinds/core/pod_warnings.h"
#include "api/kinds/core/workload.h"
#include "kubernetes/apps/v1/replica_set.pb.h"

namespace gantry::api {

namespace {

namespace apps = k8s::io::api::apps::v1;

std::vector<Value> row(const apps::ReplicaSet& object, int64_t now) {
  const auto& pod = object.spec().template_().spec();
  return {object.metadata().name(),    object.spec().replicas(),
          object.status().replicas(),  object.status().ready_replicas(),
          age(object.metadata(), now), container_names(pod),
          container_images(pod),       or_none(selector_text(object.spec().selector()))};
}

std::vector<std::string> selectable(const apps::ReplicaSet& object) {
  return {std::to_string(object.status().replicas())};
}

std::string selector(const apps::ReplicaSet& object) { return selector_text(object.spec().selector()); }

TableRules table() {
  TableRules table;
  table.columns = {name_column(), column("Desired", "integer", "How many pods there should be."),
                   column("Current", "integer", "How many pods there are."),
                   column("Ready", "integer", "How many pods are ready."), age_column()};
  add_template_columns(&table.columns, true);
  table.row = over(&row);
  return table;
}

void set_defaults(apps::ReplicaSet* object) {
  apply_constant_defaults(object);
  apps::ReplicaSetSpec* spec = object->mutable_spec();
  if (!spec->has_replicas()) spec->set_replicas(1);
  default_pod_template(spec->mutable_template_());
}

FieldProblems validate(const apps::ReplicaSet& object) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec");
  const apps::ReplicaSetSpec& spec = object.spec();
  check.at("replicas").not_negative(spec.replicas());
  check.at("minReadySeconds").not_negative(spec.min_ready_seconds());
  if (!spec.has_selector()) {
    check.at("selector").required();
    check_absent_selector(check);
  } else {
    check_selector_of(spec.selector(), spec.template_(), check);
  }
  check_lasting_template(spec.template_(), check.at("template"));
  return problems;
}

FieldProblems validate_update(const apps::ReplicaSet& old, const apps::ReplicaSet& updated) {
  FieldProblems problems;
  check_immutable(old.spec().selector(), updated.spec().selector(), Check(&problems).at("spec").at("selector"));
  return problems;
}

std::vector<std::string> warnings(const apps::ReplicaSet& object) {
  return template_warnings(object.spec().template_(), "spec.template");
}

}  // namespace

Kind replica_set_kind() {
  Kind kind = make_kind<apps::ReplicaSet>("replicasets", "replicaset", {"rs"});
  kind.categories = {"all"};
  kind.storage = "replicasets";
  kind.validate = over(&validate);
  kind.warnings = over(&warnings);
  kind.update.validate = over(&validate_update);
  kind.set_defaults = over(&set_defaults);
  kind.has_generation = true;
  kind.selectable = {"status.replicas"};
  kind.selectable_values = over(&selectable);
  kind.table = table();
  add_status(&kind);
  add_scale(&kind, over(&selector));
  return kind;
}

}  // namespace gantry::api
