// SPDX-License-Identifier: Apache-2.0
// What Roles and ClusterRoles share. Pure; any thread.
#pragma once

#include "api/check.h"

namespace google::protobuf {
template <typename Element>
class RepeatedPtrField;
}

namespace k8s::io::api::rbac::v1 {
class PolicyRule;
}

namespace gantry::api {

void check_rules(const google::protobuf::RepeatedPtrField<k8s::io::api::rbac::v1::PolicyRule>& rules, bool namespaced,
                 const Check& check);

}  // namespace gantry::api
