// SPDX-License-Identifier: Apache-2.0
#include "api/defaults.h"
#include "api/kind_parts.h"
#include "api/kinds/apps/kinds.h"
#include "api/kinds/core/pod_template.h"
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

}  // namespace

Kind deployment_kind() {
  Kind kind = make_kind<apps::Deployment>("deployments", "deployment", {"deploy"});
  kind.categories = {"all"};
  kind.storage = "deployments";
  kind.set_defaults = over(&set_defaults);
  kind.has_generation = true;
  kind.table = table();
  add_status(&kind);
  add_scale(&kind, over(&selector));
  return kind;
}

}  // namespace gantry::api
