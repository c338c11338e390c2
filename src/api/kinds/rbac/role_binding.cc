// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/rbac/binding.h"
#include "api/kinds/rbac/binding_table.h"
#include "api/kinds/rbac/kinds.h"
#include "api/names.h"
#include "kubernetes/rbac/v1/rbac.pb.h"

namespace gantry::api {

namespace {

namespace rbac = k8s::io::api::rbac::v1;

std::vector<Value> row(const rbac::RoleBinding& object, int64_t now) {
  return binding_row(object.metadata(), object.role_ref(), object.subjects(), now);
}

void set_defaults(rbac::RoleBinding* object) {
  default_binding(object->mutable_role_ref(), object->mutable_subjects());
}

FieldProblems validate(const rbac::RoleBinding& object) {
  return validate_binding(object.role_ref(), object.subjects(), true);
}

FieldProblems validate_update(const rbac::RoleBinding& old, const rbac::RoleBinding& updated) {
  FieldProblems problems;
  if (!equal(old.role_ref(), updated.role_ref())) {
    Check(&problems).at("roleRef").invalid(updated.role_ref().name(), "cannot change roleRef");
  }
  return problems;
}

}  // namespace

Kind role_binding_kind() {
  Kind kind = make_kind<rbac::RoleBinding>("rolebindings", "rolebinding");
  kind.storage = "rolebindings";
  kind.put_creates = true;
  kind.validate = over(&validate);
  kind.update.validate = over(&validate_update);
  kind.set_defaults = over(&set_defaults);
  kind.check_name = check_path_segment;
  kind.table = {binding_columns(), over(&row)};
  return kind;
}

}  // namespace gantry::api
