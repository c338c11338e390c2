// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/rbac/binding_table.h"

#include "base/text.h"
#include "kubernetes/rbac/v1/rbac.pb.h"

namespace gantry::api {

namespace rbac = k8s::io::api::rbac::v1;

std::vector<Column> binding_columns() {
  return {name_column(),
          column("Role", "string", "The role that it gives."),
          age_column(),
          wide_column("Users", "string", "Users that get it."),
          wide_column("Groups", "string", "Groups that get it."),
          wide_column("ServiceAccounts", "string", "Service accounts that get it.")};
}

std::vector<Value> binding_row(const ObjectMeta& meta, const rbac::RoleRef& role,
                               const google::protobuf::RepeatedPtrField<rbac::Subject>& subjects, int64_t now) {
  std::vector<std::string> users;
  std::vector<std::string> groups;
  std::vector<std::string> accounts;
  for (const rbac::Subject& subject : subjects) {
    if (subject.kind() == "User") users.push_back(subject.name());
    if (subject.kind() == "Group") groups.push_back(subject.name());
    if (subject.kind() == "ServiceAccount") accounts.push_back(cat(subject.namespace_(), "/", subject.name()));
  }
  return {meta.name(),          cat(role.kind(), "/", role.name()),
          age(meta, now),       joined(users, ", "),
          joined(groups, ", "), joined(accounts, ", ")};
}

}  // namespace gantry::api
