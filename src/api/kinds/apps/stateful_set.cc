// SPDX-License-Identifier: Apache-2.0
#include "api/defaults.h"
#include "api/kind_parts.h"
#include "api/kinds/apps/kinds.h"
#include "api/kinds/core/claim.h"
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

void default_update(apps::StatefulSetUpdateStrategy* strategy) {
  if (strategy->type().empty()) {
    strategy->set_type("RollingUpdate");
    strategy->mutable_rolling_update();
  }
  if (strategy->type() != "RollingUpdate" || !strategy->has_rolling_update()) return;
  apps::RollingUpdateStatefulSetStrategy* update = strategy->mutable_rolling_update();
  if (!update->has_partition()) update->set_partition(0);
  if (!update->has_max_unavailable()) update->mutable_max_unavailable()->set_int_val(1);
}

void set_defaults(apps::StatefulSet* object) {
  apply_constant_defaults(object);
  apps::StatefulSetSpec* spec = object->mutable_spec();
  if (spec->pod_management_policy().empty()) spec->set_pod_management_policy("OrderedReady");
  default_update(spec->mutable_update_strategy());
  auto* retention = spec->mutable_persistent_volume_claim_retention_policy();
  if (retention->when_deleted().empty()) retention->set_when_deleted("Retain");
  if (retention->when_scaled().empty()) retention->set_when_scaled("Retain");
  if (!spec->has_replicas()) spec->set_replicas(1);
  if (!spec->has_revision_history_limit()) spec->set_revision_history_limit(10);
  default_pod_template(spec->mutable_template_());
  for (auto& claim : *spec->mutable_volume_claim_templates()) {
    if (claim.status().phase().empty()) claim.mutable_status()->set_phase("Pending");
    default_claim_spec(claim.mutable_spec());
  }
}

}  // namespace

Kind stateful_set_kind() {
  Kind kind = make_kind<apps::StatefulSet>("statefulsets", "statefulset", {"sts"});
  kind.categories = {"all"};
  kind.storage = "statefulsets";
  kind.set_defaults = over(&set_defaults);
  kind.has_generation = true;
  kind.table.columns = {name_column(), column("Ready", "string", "How many of its pods are ready."), age_column()};
  add_template_columns(&kind.table.columns, false);
  kind.table.row = over(&row);
  add_status(&kind);
  add_scale(&kind, over(&selector));
  return kind;
}

}  // namespace gantry::api
