// SPDX-License-Identifier: Apache-2.0
#include "api/check.h"
#include "api/codec.h"
#include "api/json.h"
#include "api/kind_parts.h"
#include "api/kinds/apps/kinds.h"
#include "base/text.h"
#include "kubernetes/apps/v1/stateful_set.pb.h"

namespace gantry::api {

namespace {

namespace apps = k8s::io::api::apps::v1;

namespace meta_v1 = k8s::io::apimachinery::pkg::apis::meta::v1;

// "statefulset.apps/web"
std::string controller_text(const ObjectMeta& meta) {
  for (const meta_v1::OwnerReference& owner : meta.owner_references()) {
    if (!owner.controller()) continue;
    const size_t slash = owner.api_version().find('/');
    const std::string group = slash == std::string::npos ? "" : cat(".", owner.api_version().substr(0, slash));
    return cat(lowered(owner.kind() + group), "/", owner.name());
  }
  return std::string(kNone);
}

std::vector<Value> row(const apps::ControllerRevision& object, int64_t now) {
  return {object.metadata().name(), controller_text(object.metadata()), object.revision(), age(object.metadata(), now)};
}

FieldProblems validate(const apps::ControllerRevision& object) {
  FieldProblems problems;
  const Check check(&problems);
  check.at("revision").not_negative(object.revision());
  const Result<Value> data = parse_json(object.data().raw());
  if (!data || !data->is_object()) check.at("data").required("must be a JSON object");
  return problems;
}

// Written differently it is the same data, but not to who compares bytes, as kube-controller-manager does.
void prepare_update(const apps::ControllerRevision& old, apps::ControllerRevision* updated) {
  if (!equal(old.data(), updated->data()) && encode(old.data()) == encode(updated->data())) {
    *updated->mutable_data() = old.data();
  }
}

FieldProblems validate_update(const apps::ControllerRevision& old, const apps::ControllerRevision& updated) {
  FieldProblems problems;
  Check(&problems).at("revision").not_negative(updated.revision());
  if (!equal(old.data(), updated.data())) Check(&problems).at("data").invalid("", "field is immutable");
  return problems;
}

}  // namespace

Kind controller_revision_kind() {
  Kind kind = make_kind<apps::ControllerRevision>("controllerrevisions", "controllerrevision");
  kind.storage = "controllerrevisions";
  kind.validate = over(&validate);
  kind.update = {.prepare = over(&prepare_update), .validate = over(&validate_update), .changes_alone = true};
  kind.table = {{name_column(), column("Controller", "string", "Whose state it holds."),
                 column("Revision", "string", "Its number."), age_column()},
                over(&row)};
  return kind;
}

}  // namespace gantry::api
