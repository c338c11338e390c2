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

}  // namespace

Kind service_account_kind() {
  Kind kind = make_kind<core::ServiceAccount>("serviceaccounts", "serviceaccount", {"sa"});
  kind.storage = "serviceaccounts";
  kind.table = {{name_column(), age_column()}, over(&row)};
  add_action(&kind, "token", {"authentication.k8s.io", "v1", "TokenRequest"}, static_cast<Verbs>(Verb::kCreate));
  return kind;
}

}  // namespace gantry::api
