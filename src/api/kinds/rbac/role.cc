// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/rbac/kinds.h"
#include "api/names.h"
#include "kubernetes/rbac/v1/rbac.pb.h"

namespace gantry::api {

Kind role_kind() {
  Kind kind = make_kind<k8s::io::api::rbac::v1::Role>("roles", "role");
  kind.storage = "roles";
  kind.check_name = check_path_segment;
  kind.table = name_and_creation<k8s::io::api::rbac::v1::Role>();
  return kind;
}

}  // namespace gantry::api
