// SPDX-License-Identifier: Apache-2.0
// What RoleBindings and ClusterRoleBindings share. Pure; any thread.
#pragma once

#include "api/check.h"

namespace google::protobuf {
template <typename Element>
class RepeatedPtrField;
}

namespace k8s::io::api::rbac::v1 {
class RoleRef;
class Subject;
}  // namespace k8s::io::api::rbac::v1

namespace gantry::api {

void default_binding(k8s::io::api::rbac::v1::RoleRef* role,
                     google::protobuf::RepeatedPtrField<k8s::io::api::rbac::v1::Subject>* subjects);

FieldProblems validate_binding(const k8s::io::api::rbac::v1::RoleRef& role,
                               const google::protobuf::RepeatedPtrField<k8s::io::api::rbac::v1::Subject>& subjects,
                               bool namespaced);

}  // namespace gantry::api
