// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>

#include "api/defaults.h"
#include "api/kind_parts.h"
#include "api/kinds/apps/kinds.h"
#include "api/kinds/core/pod_template.h"
#include "api/kinds/core/pod_warnings.h"
#include "api/kinds/core/workload.h"
#include "kubernetes/apps/v1/daemon_set.pb.h"

namespace gantry::api {

namespace {

namespace apps = k8s::io::api::apps::v1;

std::vector<Value> row(const apps::DaemonSet& object, int64_t now) {
  const apps::DaemonSetStatus& status = object.status();
  const auto& pod = object.spec().template_().spec();
  return {object.metadata().name(),
          status.desired_number_scheduled(),
          status.current_number_scheduled(),
          status.number_ready(),
          status.updated_number_scheduled(),
          status.number_available(),
          or_none(selector_text(pod.node_selector())),
          age(object.metadata(), now),
          container_names(pod),
          container_images(pod),
          or_none(selector_text(object.spec().selector()))};
}

TableRules table() {
  TableRules table;
  table.columns = {name_column(),
                   column("Desired", "integer", "How many nodes should run its pod."),
                   column("Current", "integer", "How many of them do."),
                   column("Ready", "integer", "How many of the pods are ready."),
                   column("Up-to-date", "integer", "How many of the pods are of the newest template."),
                   column("Available", "integer", "How many of the pods have been ready long enough."),
                   column("Node Selector", "string", "Labels of the nodes that get its pod."),
                   age_column()};
  add_template_columns(&table.columns, true);
  table.row = over(&row);
  return table;
}

void set_defaults(apps::DaemonSet* object) {
  apply_constant_defaults(object);
  apps::DaemonSetSpec* spec = object->mutable_spec();
  apps::DaemonSetUpdateStrategy* strategy = spec->mutable_update_strategy();
  if (strategy->type().empty()) strategy->set_type("RollingUpdate");
  if (strategy->type() == "RollingUpdate") {
    apps::RollingUpdateDaemonSet* update = strategy->mutable_rolling_update();
    if (!update->has_max_unavailable()) update->mutable_max_unavailable()->set_int_val(1);
    if (!update->has_max_surge()) update->mutable_max_surge()->set_int_val(0);
  }
  if (!spec->has_revision_history_limit()) spec->set_revision_history_limit(10);
  default_pod_template(spec->mutable_template_());
}

// A counter of templates, from before generations were counted, which old clients may still read.
constexpr const char* kTemplateGeneration = "deprecated.daemonset.template.generation";

int64_t template_generation(const apps::DaemonSet& object) {
  const auto found = object.metadata().annotations().find(kTemplateGeneration);
  int64_t number = 0;
  if (found == object.metadata().annotations().end()) return 0;
  std::from_chars(found->second.data(), found->second.data() + found->second.size(), number);
  return number;
}

void set_template_generation(int64_t number, apps::DaemonSet* object) {
  (*object->mutable_metadata()->mutable_annotations())[kTemplateGeneration] = std::to_string(number);
}

void prepare_create(apps::DaemonSet* object) {
  set_template_generation(std::max<int64_t>(template_generation(*object), 1), object);
}

void prepare_update(const apps::DaemonSet& old, apps::DaemonSet* updated) {
  *updated->mutable_status() = old.status();
  const bool changed = !equal(updated->spec().template_(), old.spec().template_());
  const int64_t number = template_generation(old) + (changed ? 1 : 0);
  if (number > 0) set_template_generation(number, updated);
}

void check_strategy(const apps::DaemonSetUpdateStrategy& strategy, const Check& check) {
  check.one_of(strategy.type(), {"OnDelete", "RollingUpdate"});
  if (strategy.type() != "RollingUpdate") return;
  const Check inside = check.at("rollingUpdate");
  if (!strategy.has_rolling_update()) return inside.required();
  const apps::RollingUpdateDaemonSet& update = strategy.rolling_update();
  check_share(update.max_unavailable(), true, inside.at("maxUnavailable"));
  check_share(update.max_surge(), true, inside.at("maxSurge"));
  const bool stops = !is_no_share(update.max_unavailable());
  const bool surges = !is_no_share(update.max_surge());
  if (stops && surges)
    inside.at("maxSurge").invalid(int_or_string_text(update.max_surge()), "must be 0 when maxUnavailable is not");
  if (!stops && !surges) inside.at("maxUnavailable").required("must not be 0 when maxSurge is");
}

FieldProblems validate(const apps::DaemonSet& object) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec");
  const apps::DaemonSetSpec& spec = object.spec();
  if (!spec.has_selector()) {
    check_absent_selector(check);
  } else {
    check_selector_of(spec.selector(), spec.template_(), check);
  }
  check_lasting_template(spec.template_(), check.at("template"));
  check.at("minReadySeconds").not_negative(spec.min_ready_seconds());
  check_strategy(spec.update_strategy(), check.at("updateStrategy"));
  check.at("revisionHistoryLimit").not_negative(spec.revision_history_limit());
  return problems;
}

FieldProblems validate_update(const apps::DaemonSet& old, const apps::DaemonSet& updated) {
  FieldProblems problems;
  check_immutable(old.spec().selector(), updated.spec().selector(), Check(&problems).at("spec").at("selector"));
  return problems;
}

std::vector<std::string> warnings(const apps::DaemonSet& object) {
  return template_warnings(object.spec().template_(), "spec.template");
}

}  // namespace

Kind daemon_set_kind() {
  Kind kind = make_kind<apps::DaemonSet>("daemonsets", "daemonset", {"ds"});
  kind.categories = {"all"};
  kind.storage = "daemonsets";
  kind.validate = over(&validate);
  kind.warnings = over(&warnings);
  kind.update.validate = over(&validate_update);
  kind.set_defaults = over(&set_defaults);
  kind.prepare_create = over(&prepare_create);
  kind.update.prepare = over(&prepare_update);
  kind.has_generation = true;
  kind.table = table();
  add_status(&kind);
  return kind;
}

}  // namespace gantry::api
