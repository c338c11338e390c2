// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/rbac/binding.h"

#include "kubernetes/rbac/v1/rbac.pb.h"

namespace gantry::api {

namespace {

namespace rbac = k8s::io::api::rbac::v1;

constexpr const char* kGroup = "rbac.authorization.k8s.io";

}  // namespace

void default_binding(rbac::RoleRef* role, google::protobuf::RepeatedPtrField<rbac::Subject>* subjects) {
  if (role->api_group().empty()) role->set_api_group(kGroup);
  for (rbac::Subject& subject : *subjects) {
    const bool person = subject.kind() == "User" || subject.kind() == "Group";
    if (person && subject.api_group().empty()) subject.set_api_group(kGroup);
  }
}

}  // namespace gantry::api
