// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/rbac/kinds.h"
#include "api/names.h"
#include "kubernetes/rbac/v1/rbac.pb.h"

namespace gantry::api {

Kind cluster_role_kind() {
  Kind kind = make_kind<k8s::io::api::rbac::v1::ClusterRole>("clusterroles", "clusterrole");
  kind.namespaced = false;
  kind.storage = "clusterroles";
  kind.check_name = check_path_segment;
  kind.table = name_and_creation<k8s::io::api::rbac::v1::ClusterRole>();
  return kind;
}

}  // namespace gantry::api
