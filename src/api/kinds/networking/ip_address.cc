// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/networking/kinds.h"
#include "base/text.h"
#include "kubernetes/networking/v1/service_cidr.pb.h"

namespace gantry::api {

namespace {

namespace networking = k8s::io::api::networking::v1;

std::string parent_text(const networking::ParentReference& parent) {
  std::string text = lowered(parent.resource());
  if (!parent.group().empty()) text += cat(".", lowered(parent.group()));
  if (!parent.namespace_().empty()) text += cat("/", parent.namespace_());
  return cat(text, "/", parent.name());
}

std::vector<Value> row(const networking::IPAddress& object, int64_t now) {
  return {object.metadata().name(),
          object.spec().has_parent_ref() ? Value(parent_text(object.spec().parent_ref())) : Value(kNone),
          age(object.metadata(), now)};
}

}  // namespace

Kind ip_address_kind() {
  Kind kind = make_kind<networking::IPAddress>("ipaddresses", "ipaddress", {"ip"});
  kind.namespaced = false;
  kind.storage = "ipaddresses";
  kind.table = {{name_column(), column("ParentRef", "string", "Whose address it is."), age_column()}, over(&row)};
  return kind;
}

}  // namespace gantry::api
