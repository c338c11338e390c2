// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/rbac/binding.h"

#include "api/names.h"
#include "kubernetes/rbac/v1/rbac.pb.h"

namespace gantry::api {

namespace {

namespace rbac = k8s::io::api::rbac::v1;

constexpr const char* kGroup = "rbac.authorization.k8s.io";

void check_subject(const rbac::Subject& subject, bool namespaced, const Check& check) {
  if (subject.name().empty()) check.at("name").required();
  if (subject.kind() == "ServiceAccount") {
    check.at("name").optional_name(subject.name(), check_dns1123_subdomain);
    check.at("apiGroup").one_of(subject.api_group(), {""});
    if (!namespaced && subject.namespace_().empty()) check.at("namespace").required();
  } else if (subject.kind() == "User" || subject.kind() == "Group") {
    check.at("apiGroup").one_of(subject.api_group(), {kGroup});
  } else {
    check.at("kind").one_of(subject.kind(), {"ServiceAccount", "User", "Group"});
  }
}

}  // namespace

FieldProblems validate_binding(const rbac::RoleRef& role,
                               const google::protobuf::RepeatedPtrField<rbac::Subject>& subjects, bool namespaced) {
  FieldProblems problems;
  const Check root(&problems);
  const Check check = root.at("roleRef");
  check.at("apiGroup").one_of(role.api_group(), {kGroup});
  if (!namespaced || role.kind() != "Role") {
    if (namespaced) {
      check.at("kind").one_of(role.kind(), {"Role", "ClusterRole"});
    } else {
      check.at("kind").one_of(role.kind(), {"ClusterRole"});
    }
  }
  check.at("name").name(role.name(), check_path_segment);
  for (int i = 0; i < subjects.size(); ++i) check_subject(subjects[i], namespaced, root.at("subjects")[i]);
  return problems;
}

void default_binding(rbac::RoleRef* role, google::protobuf::RepeatedPtrField<rbac::Subject>* subjects) {
  if (role->api_group().empty()) role->set_api_group(kGroup);
  for (rbac::Subject& subject : *subjects) {
    const bool person = subject.kind() == "User" || subject.kind() == "Group";
    if (person && subject.api_group().empty()) subject.set_api_group(kGroup);
  }
}

}  // namespace gantry::api
