// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/apps/kinds.h"
#include "api/kinds/core/pod_template.h"
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

}  // namespace

Kind daemon_set_kind() {
  Kind kind = make_kind<apps::DaemonSet>("daemonsets", "daemonset", {"ds"});
  kind.categories = {"all"};
  kind.storage = "daemonsets";
  kind.has_generation = true;
  kind.table = table();
  add_status(&kind);
  return kind;
}

}  // namespace gantry::api
