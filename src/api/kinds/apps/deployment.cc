// SPDX-License-Identifier: Apache-2.0
#include "api/defaults.h"
#include "api/kind_parts.h"
#include "api/kinds/apps/kinds.h"
#include "api/kinds/core/pod_template.h"
#include "api/kinds/core/pod_warnings.h"
#include "api/kinds/core/workload.h"
#include "base/text.h"
#include "kubernetes/apps/v1/deployment.pb.h"

namespace gantry::api {

namespace {

namespace apps = k8s::io::api::apps::v1;

std::vector<Value> row(const apps::Deployment& object, int64_t now) {
  const auto& pod = object.spec().template_().spec();
  return {object.metadata().name(),
          cat(object.status().ready_replicas(), "/", object.spec().replicas()),
          object.status().updated_replicas(),
          object.status().available_replicas(),
          age(object.metadata(), now),
          container_names(pod),
          container_images(pod),
          selector_text(object.spec().selector())};
}

std::string selector(const apps::Deployment& object) { return selector_text(object.spec().selector()); }

TableRules table() {
  TableRules table;
  table.columns = {name_column(), column("Ready", "string", "How many of its pods are ready."),
                   column("Up-to-date", "string", "How many of its pods are of the newest template."),
                   column("Available", "string", "How many of its pods have been ready long enough."), age_column()};
  add_template_columns(&table.columns, true);
  table.row = over(&row);
  return table;
}

void set_percent(k8s::io::apimachinery::pkg::util::intstr::IntOrString* value, const char* text) {
  value->set_type(1);
  value->set_str_val(text);
}

void set_defaults(apps::Deployment* object) {
  apply_constant_defaults(object);
  apps::DeploymentSpec* spec = object->mutable_spec();
  if (!spec->has_replicas()) spec->set_replicas(1);
  apps::DeploymentStrategy* strategy = spec->mutable_strategy();
  if (strategy->type().empty()) strategy->set_type("RollingUpdate");
  if (strategy->type() == "RollingUpdate") {
    apps::RollingUpdateDeployment* update = strategy->mutable_rolling_update();
    if (!update->has_max_unavailable()) set_percent(update->mutable_max_unavailable(), "25%");
    if (!update->has_max_surge()) set_percent(update->mutable_max_surge(), "25%");
  }
  if (!spec->has_revision_history_limit()) spec->set_revision_history_limit(10);
  if (!spec->has_progress_deadline_seconds()) spec->set_progress_deadline_seconds(600);
  default_pod_template(spec->mutable_template_());
}

void check_strategy(const apps::DeploymentStrategy& strategy, const Check& check) {
  const Check inside = check.at("rollingUpdate");
  if (strategy.type() == "Recreate") {
    if (strategy.has_rolling_update()) inside.forbidden("can not be set when type is Recreate");
  } else if (strategy.type() == "RollingUpdate") {
    if (!strategy.has_rolling_update()) return inside.required("must be set when type is RollingUpdate");
    const apps::RollingUpdateDeployment& update = strategy.rolling_update();
    check_share(update.max_unavailable(), true, inside.at("maxUnavailable"));
    check_share(update.max_surge(), false, inside.at("maxSurge"));
    if (is_no_share(update.max_unavailable()) && is_no_share(update.max_surge())) {
      inside.at("maxUnavailable")
          .invalid(int_or_string_text(update.max_unavailable()), "must not be 0 when maxSurge is");
    }
  } else {
    check.one_of(strategy.type(), {"Recreate", "RollingUpdate"});
  }
}

FieldProblems validate(const apps::Deployment& object) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec");
  const apps::DeploymentSpec& spec = object.spec();
  check.at("replicas").not_negative(spec.replicas());
  if (!spec.has_selector()) {
    check.at("selector").required();
    check_absent_selector(check);
  } else {
    check_selector_of(spec.selector(), spec.template_(), check);
  }
  check_lasting_template(spec.template_(), check.at("template"));
  check_strategy(spec.strategy(), check.at("strategy"));
  check.at("minReadySeconds").not_negative(spec.min_ready_seconds());
  check.at("revisionHistoryLimit").not_negative(spec.revision_history_limit());
  if (!spec.has_progress_deadline_seconds()) return problems;
  check.at("progressDeadlineSeconds").not_negative(spec.progress_deadline_seconds());
  if (spec.progress_deadline_seconds() <= spec.min_ready_seconds()) {
    check.at("progressDeadlineSeconds")
        .invalid(spec.progress_deadline_seconds(), "must be greater than minReadySeconds");
  }
  return problems;
}

FieldProblems validate_update(const apps::Deployment& old, const apps::Deployment& updated) {
  FieldProblems problems;
  check_immutable(old.spec().selector(), updated.spec().selector(), Check(&problems).at("spec").at("selector"));
  return problems;
}

std::vector<std::string> warnings(const apps::Deployment& object) {
  return template_warnings(object.spec().template_(), "spec.template");
}

}  // namespace

Kind deployment_kind() {
  Kind kind = make_kind<apps::Deployment>("deployments", "deployment", {"deploy"});
  kind.categories = {"all"};
  kind.storage = "deployments";
  kind.validate = over(&validate);
  kind.warnings = over(&warnings);
  kind.update.validate = over(&validate_update);
  kind.set_defaults = over(&set_defaults);
  kind.has_generation = true;
  kind.table = table();
  add_status(&kind);
  add_scale(&kind, over(&selector));
  return kind;
}

}  // namespace gantry::api
