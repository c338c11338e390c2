// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "api/defaults.h"
#include "api/kind_parts.h"
#include "api/kinds/apps/kinds.h"
#include "api/kinds/core/claim.h"
#include "api/kinds/core/pod_template.h"
#include "api/kinds/core/pod_warnings.h"
#include "api/kinds/core/workload.h"
#include "api/names.h"
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

void check_strategy(const apps::StatefulSetUpdateStrategy& strategy, const Check& check) {
  const Check inside = check.at("rollingUpdate");
  if (strategy.type().empty()) return check.required();
  if (strategy.type() == "OnDelete") {
    if (strategy.has_rolling_update()) inside.invalid("", "can only be set when type is RollingUpdate");
  } else if (strategy.type() != "RollingUpdate") {
    check.invalid(strategy.type(), "must be RollingUpdate or OnDelete");
  } else if (strategy.has_rolling_update()) {
    inside.at("partition").not_negative(strategy.rolling_update().partition());
    if (!strategy.rolling_update().has_max_unavailable()) return;
    check_share(strategy.rolling_update().max_unavailable(), true, inside.at("maxUnavailable"));
    if (is_no_share(strategy.rolling_update().max_unavailable())) {
      inside.at("maxUnavailable").invalid("0", "must not be 0");
    }
  }
}

// As its pods are: each has a volume for each template of a claim.
auto with_claims(const apps::StatefulSetSpec& spec) {
  auto pod = spec.template_();
  for (const auto& claim : spec.volume_claim_templates()) {
    const std::string& name = claim.metadata().name();
    auto* volumes = pod.mutable_spec()->mutable_volumes();
    const auto same = std::ranges::find_if(*volumes, [&](const auto& volume) { return volume.name() == name; });
    auto* volume = same == volumes->end() ? volumes->Add() : &*same;
    volume->Clear();
    volume->set_name(name);
    volume->mutable_volume_source()->mutable_persistent_volume_claim()->set_claim_name(name);
  }
  return pod;
}

// All but its templates of claims. Of an update neither the service, which can not be changed, nor the template of pods
// of a set that is older than a rule that it breaks.
FieldProblems validate_set(const apps::StatefulSet& object, const apps::StatefulSet* old) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec");
  const apps::StatefulSetSpec& spec = object.spec();
  if (spec.pod_management_policy() != "OrderedReady" && spec.pod_management_policy() != "Parallel") {
    check.at("podManagementPolicy").invalid(spec.pod_management_policy(), "must be OrderedReady or Parallel");
  }
  check_strategy(spec.update_strategy(), check.at("updateStrategy"));
  const Check retention = check.at("persistentVolumeClaimRetentionPolicy");
  const auto& policy = spec.persistent_volume_claim_retention_policy();
  retention.at("whenDeleted").one_of(policy.when_deleted(), {"Retain", "Delete"});
  retention.at("whenScaled").one_of(policy.when_scaled(), {"Retain", "Delete"});
  check.at("replicas").not_negative(spec.replicas());
  check.at("minReadySeconds").not_negative(spec.min_ready_seconds());
  if (spec.has_ordinals()) check.at("ordinals.start").not_negative(spec.ordinals().start());
  if (old == nullptr) check.at("serviceName").optional_name(spec.service_name(), check_dns1123_label);
  if (!spec.has_selector()) {
    check.at("selector").required();
    check_absent_selector(check);
  } else {
    check_selector_of(spec.selector(), spec.template_(), check);
  }
  if (old == nullptr || validate_set(*old, nullptr).empty()) {
    check_lasting_template(with_claims(spec), check.at("template"));
  }
  return problems;
}

FieldProblems validate(const apps::StatefulSet& object) {
  FieldProblems problems = validate_set(object, nullptr);
  const Check check = Check(&problems).at("spec").at("volumeClaimTemplates");
  for (int i = 0; i < object.spec().volume_claim_templates_size(); ++i) {
    check_claim_spec(object.spec().volume_claim_templates(i).spec(), check[i].at("spec"));
  }
  return problems;
}

FieldProblems validate_update(const apps::StatefulSet& old, const apps::StatefulSet& updated) {
  FieldProblems problems = validate_set(updated, &old);
  apps::StatefulSetSpec spec = updated.spec();
  const apps::StatefulSetSpec& before = old.spec();
  check_immutable(before.selector(), spec.selector(), Check(&problems).at("spec").at("selector"));
  *spec.mutable_selector() = before.selector();
  spec.set_replicas(before.replicas());
  *spec.mutable_template_() = before.template_();
  *spec.mutable_update_strategy() = before.update_strategy();
  spec.set_min_ready_seconds(before.min_ready_seconds());
  spec.clear_ordinals();
  if (before.has_ordinals()) *spec.mutable_ordinals() = before.ordinals();
  spec.set_revision_history_limit(before.revision_history_limit());
  *spec.mutable_persistent_volume_claim_retention_policy() = before.persistent_volume_claim_retention_policy();
  const Check check = Check(&problems).at("spec");
  const auto same = [&](bool is_same, const char* field) {
    if (!is_same) check.at(field).invalid("", "field is immutable");
  };
  same(before.pod_management_policy() == spec.pod_management_policy(), "podManagementPolicy");
  same(before.service_name() == spec.service_name(), "serviceName");
  same(std::ranges::equal(before.volume_claim_templates(), spec.volume_claim_templates(), &equal),
       "volumeClaimTemplates");
  return problems;
}

std::vector<std::string> warnings(const apps::StatefulSet& object) {
  return template_warnings(object.spec().template_(), "spec.template");
}

}  // namespace

Kind stateful_set_kind() {
  Kind kind = make_kind<apps::StatefulSet>("statefulsets", "statefulset", {"sts"});
  kind.categories = {"all"};
  kind.storage = "statefulsets";
  kind.validate = over(&validate);
  kind.warnings = over(&warnings);
  kind.update = {.prepare = {}, .validate = over(&validate_update), .changes_alone = true};
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
