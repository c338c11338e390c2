// SPDX-License-Identifier: Apache-2.0
// What kubectl get shows of RoleBindings and ClusterRoleBindings.
#pragma once

#include <cstdint>
#include <vector>

#include "api/kind_parts.h"

namespace google::protobuf {
template <typename Element>
class RepeatedPtrField;
}

namespace k8s::io::api::rbac::v1 {
class RoleRef;
class Subject;
}  // namespace k8s::io::api::rbac::v1

namespace gantry::api {

std::vector<Column> binding_columns();
std::vector<Value> binding_row(const ObjectMeta& meta, const k8s::io::api::rbac::v1::RoleRef& role,
                               const google::protobuf::RepeatedPtrField<k8s::io::api::rbac::v1::Subject>& subjects,
                               int64_t now);

}  // namespace gantry::api
