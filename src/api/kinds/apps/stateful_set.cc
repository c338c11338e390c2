// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/apps/kinds.h"
#include "api/kinds/core/pod_template.h"
#include "base/text.h"
#include "kubernetes/apps/v1/stateful_set.pb.h"

namespace gantry::api {

namespace {

namespace apps = k8s::io::api::apps::v1;

std::vector<Value> row(const apps::StatefulSet& object, int64_t now) {
  const auto& pod = object.spec().template_().spec();
  return {object.metadata().name(), cat(object.status().ready_replicas(), "/", object.spec().replicas()),
          age(object.metadata(), now), container_names(pod), container_images(pod)};
}

std::string selector(const apps::StatefulSet& object) { return selector_text(object.spec().selector()); }

}  // namespace

Kind stateful_set_kind() {
  Kind kind = make_kind<apps::StatefulSet>("statefulsets", "statefulset", {"sts"});
  kind.categories = {"all"};
  kind.storage = "statefulsets";
  kind.has_generation = true;
  kind.table.columns = {name_column(), column("Ready", "string", "How many of its pods are ready."), age_column()};
  add_template_columns(&kind.table.columns, false);
  kind.table.row = over(&row);
  add_status(&kind);
  add_scale(&kind, over(&selector));
  return kind;
}

}  // namespace gantry::api
