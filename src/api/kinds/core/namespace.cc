// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/core/kinds.h"
#include "api/names.h"
#include "kubernetes/core/v1/namespace.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

std::vector<Value> row(const core::Namespace& object, int64_t now) {
  return {object.metadata().name(), object.status().phase(), age(object.metadata(), now)};
}

std::vector<std::string> selectable(const core::Namespace& object) { return {object.status().phase()}; }

void begin_deletion(core::Namespace* object) { object->mutable_status()->set_phase("Terminating"); }

// What is in it goes first; its controller then takes the finalizer "kubernetes" off through "finalize".
bool is_held(const core::Namespace& object) { return !object.spec().finalizers().empty(); }

}  // namespace

Kind namespace_kind() {
  Kind kind = make_kind<core::Namespace>("namespaces", "namespace", {"ns"});
  kind.namespaced = false;
  kind.verbs = static_cast<Verbs>(kAllVerbs & ~static_cast<Verbs>(Verb::kDeleteCollection));
  kind.storage = "namespaces";
  kind.check_name = check_dns1123_label;
  kind.selectable = {"status.phase"};
  kind.selectable_values = over(&selectable);
  kind.table = {
      {name_column(), column("Status", "string", "Active, or Terminating while it is emptied."), age_column()},
      over(&row)};
  add_status(&kind);
  kind.subresources.push_back({"finalize", {}, static_cast<Verbs>(Verb::kUpdate), UpdateRules{}});
  kind.begin_deletion = over(&begin_deletion);
  kind.is_held = over(&is_held);
  return kind;
}

}  // namespace gantry::api
