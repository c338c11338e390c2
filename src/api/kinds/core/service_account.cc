// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/core/kinds.h"
#include "kubernetes/core/v1/namespace.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

std::vector<Value> row(const core::ServiceAccount& object, int64_t now) {
  return {object.metadata().name(), age(object.metadata(), now)};
}

// Of what it refers to, only the name means something.
void clean(core::ServiceAccount* object) {
  for (core::ObjectReference& secret : *object->mutable_secrets()) {
    const std::string name = secret.name();
    secret.Clear();
    secret.set_name(name);
  }
}

void prepare_update(const core::ServiceAccount&, core::ServiceAccount* updated) { clean(updated); }

}  // namespace

Kind service_account_kind() {
  Kind kind = make_kind<core::ServiceAccount>("serviceaccounts", "serviceaccount", {"sa"});
  kind.storage = "serviceaccounts";
  kind.answers_deleted = true;
  kind.prepare_create = over(&clean);
  kind.update.prepare = over(&prepare_update);
  kind.table = {{name_column(), age_column()}, over(&row)};
  add_action(&kind, "token", {"authentication.k8s.io", "v1", "TokenRequest"}, static_cast<Verbs>(Verb::kCreate));
  return kind;
}

}  // namespace gantry::api
