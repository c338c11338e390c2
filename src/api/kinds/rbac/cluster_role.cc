// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/rbac/kinds.h"
#include "api/kinds/rbac/rules.h"
#include "api/names.h"
#include "kubernetes/rbac/v1/rbac.pb.h"

namespace gantry::api {

namespace {

namespace rbac = k8s::io::api::rbac::v1;

FieldProblems validate(const rbac::ClusterRole& object) {
  FieldProblems problems;
  check_rules(object.rules(), false, Check(&problems).at("rules"));
  const Check selectors = Check(&problems).at("aggregationRule").at("clusterRoleSelectors");
  for (int i = 0; i < object.aggregation_rule().cluster_role_selectors_size(); ++i) {
    check_label_selector(object.aggregation_rule().cluster_role_selectors(i), selectors[i]);
  }
  if (object.has_aggregation_rule() && object.aggregation_rule().cluster_role_selectors().empty()) {
    selectors.required("must have at least one selector");
  }
  return problems;
}

}  // namespace

Kind cluster_role_kind() {
  Kind kind = make_kind<rbac::ClusterRole>("clusterroles", "clusterrole");
  kind.namespaced = false;
  kind.storage = "clusterroles";
  kind.put_creates = true;
  kind.check_name = check_path_segment;
  kind.validate = over(&validate);
  kind.table = name_and_creation<rbac::ClusterRole>();
  return kind;
}

}  // namespace gantry::api
