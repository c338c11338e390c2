// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "api/kind_parts.h"
#include "api/kinds/core/kinds.h"
#include "api/metadata.h"
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

constexpr std::string_view kFinalizer = "kubernetes";
constexpr const char* kNameLabel = "kubernetes.io/metadata.name";

void set_defaults(core::Namespace* object) {
  const std::string name = object->metadata().name();
  if (!name.empty()) (*object->mutable_metadata()->mutable_labels())[kNameLabel] = name;
  if (object->status().phase().empty()) object->mutable_status()->set_phase("Active");
}

void prepare_create(core::Namespace* object) {
  object->mutable_status()->set_phase("Active");
  auto* finalizers = object->mutable_spec()->mutable_finalizers();
  if (std::ranges::find(*finalizers, kFinalizer) == finalizers->end()) finalizers->Add(std::string(kFinalizer));
}

FieldProblems validate(const core::Namespace& object) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec").at("finalizers");
  for (const std::string& name : object.spec().finalizers()) {
    const bool is_own = name == kFinalizer || name == kOrphanFinalizer || name == kForegroundFinalizer;
    if (const std::string wrong = check_qualified_name(name); !wrong.empty()) {
      check.invalid(name, wrong);
    } else if (!is_own && name.find('/') == name.npos) {
      check.invalid(name, "must be a standard finalizer or have a domain");
    }
  }
  return problems;
}

// Its finalizers are changed through "finalize", and nothing else is.
void prepare_update(const core::Namespace& old, core::Namespace* updated) {
  *updated->mutable_spec() = old.spec();
  *updated->mutable_status() = old.status();
}

void prepare_finalize(const core::Namespace& old, core::Namespace* updated) {
  *updated->mutable_status() = old.status();
}

}  // namespace

Kind namespace_kind() {
  Kind kind = make_kind<core::Namespace>("namespaces", "namespace", {"ns"});
  kind.namespaced = false;
  kind.verbs = static_cast<Verbs>(kAllVerbs & ~static_cast<Verbs>(Verb::kDeleteCollection));
  kind.storage = "namespaces";
  kind.answers_deleted = true;
  kind.set_defaults = over(&set_defaults);
  kind.prepare_create = over(&prepare_create);
  kind.validate = over(&validate);
  kind.update.prepare = over(&prepare_update);
  kind.check_name = check_dns1123_label;
  kind.selectable = {"status.phase"};
  kind.selectable_values = over(&selectable);
  kind.table = {
      {name_column(), column("Status", "string", "Active, or Terminating while it is emptied."), age_column()},
      over(&row)};
  add_status(&kind);
  kind.subresources.push_back(
      {"finalize", {}, static_cast<Verbs>(Verb::kUpdate), UpdateRules{over(&prepare_finalize), {}}});
  kind.begin_deletion = over(&begin_deletion);
  kind.is_held = over(&is_held);
  return kind;
}

}  // namespace gantry::api
