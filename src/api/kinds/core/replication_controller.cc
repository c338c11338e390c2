// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "api/defaults.h"
#include "api/kind_parts.h"
#include "api/kinds/core/kinds.h"
#include "api/kinds/core/pod_template.h"
#include "api/kinds/core/pod_warnings.h"
#include "api/kinds/core/workload.h"
#include "kubernetes/core/v1/pod_template.pb.h"
#include "kubernetes/core/v1/replication_controller.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

std::vector<Value> row(const core::ReplicationController& object, int64_t now) {
  const core::PodSpec& pod = object.spec().template_().spec();
  return {object.metadata().name(),    object.spec().replicas(),
          object.status().replicas(),  object.status().ready_replicas(),
          age(object.metadata(), now), container_names(pod),
          container_images(pod),       or_none(selector_text(object.spec().selector()))};
}

std::vector<std::string> selectable(const core::ReplicationController& object) {
  return {std::to_string(object.status().replicas())};
}

std::string selector(const core::ReplicationController& object) { return selector_text(object.spec().selector()); }

void set_defaults(core::ReplicationController* object) {
  apply_constant_defaults(object);
  core::ReplicationControllerSpec* spec = object->mutable_spec();
  if (!spec->has_template_()) return;
  default_pod_template(spec->mutable_template_());
  const auto& labels = spec->template_().metadata().labels();
  if (spec->selector().empty()) *spec->mutable_selector() = labels;
  if (object->metadata().labels().empty()) *object->mutable_metadata()->mutable_labels() = labels;
}

FieldProblems validate(const core::ReplicationController& object) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec");
  const core::ReplicationControllerSpec& spec = object.spec();
  check.at("minReadySeconds").not_negative(spec.min_ready_seconds());
  if (spec.selector().empty()) check.at("selector").required();
  check.at("replicas").not_negative(spec.replicas());
  if (!spec.has_template_()) {
    check.at("template").required();
    return problems;
  }
  const auto& labels = spec.template_().metadata().labels();
  const bool selected = std::ranges::all_of(spec.selector(), [&](const auto& entry) {
    const auto label = labels.find(entry.first);
    return label != labels.end() && label->second == entry.second;
  });
  if (!selected) {
    check.at("template")
        .at("metadata")
        .at("labels")
        .invalid(selector_text(labels), "`selector` does not match template `labels`");
  }
  check_lasting_template(spec.template_(), check.at("template"));
  return problems;
}

std::vector<std::string> warnings(const core::ReplicationController& object) {
  return template_warnings(object.spec().template_(), "spec.template");
}

}  // namespace

Kind replication_controller_kind() {
  Kind kind = make_kind<core::ReplicationController>("replicationcontrollers", "replicationcontroller", {"rc"});
  kind.categories = {"all"};
  kind.storage = "controllers";
  kind.validate = over(&validate);
  kind.warnings = over(&warnings);
  kind.set_defaults = over(&set_defaults);
  kind.has_generation = true;
  kind.selectable = {"status.replicas"};
  kind.selectable_values = over(&selectable);
  kind.table.columns = {name_column(), column("Desired", "integer", "How many pods there should be."),
                        column("Current", "integer", "How many pods there are."),
                        column("Ready", "integer", "How many pods are ready."), age_column()};
  add_template_columns(&kind.table.columns, true);
  kind.table.row = over(&row);
  add_status(&kind);
  add_scale(&kind, over(&selector));
  kind.orphans_by_default = true;
  return kind;
}

}  // namespace gantry::api
