// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/rbac/kinds.h"
#include "api/kinds/rbac/rules.h"
#include "api/names.h"
#include "kubernetes/rbac/v1/rbac.pb.h"

namespace gantry::api {

namespace {

namespace rbac = k8s::io::api::rbac::v1;

FieldProblems validate(const rbac::Role& object) {
  FieldProblems problems;
  check_rules(object.rules(), true, Check(&problems).at("rules"));
  return problems;
}

}  // namespace

Kind role_kind() {
  Kind kind = make_kind<rbac::Role>("roles", "role");
  kind.storage = "roles";
  kind.put_creates = true;
  kind.check_name = check_path_segment;
  kind.validate = over(&validate);
  kind.table = name_and_creation<rbac::Role>();
  return kind;
}

}  // namespace gantry::api
