// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/rbac/rules.h"

#include "kubernetes/rbac/v1/rbac.pb.h"

namespace gantry::api {

namespace rbac = k8s::io::api::rbac::v1;

void check_rules(const google::protobuf::RepeatedPtrField<rbac::PolicyRule>& rules, bool namespaced,
                 const Check& check) {
  for (int i = 0; i < rules.size(); ++i) {
    const rbac::PolicyRule& rule = rules[i];
    const Check inside = check[i];
    if (rule.verbs().empty()) inside.at("verbs").required("must have at least one verb");
    if (!rule.non_resource_urls().empty()) {
      const Check urls = inside.at("nonResourceURLs");
      if (namespaced) urls.invalid(rule.non_resource_urls(0), "a rule of one namespace can not be about paths");
      if (!rule.api_groups().empty() || !rule.resources().empty() || !rule.resource_names().empty()) {
        urls.invalid(rule.non_resource_urls(0), "a rule is about resources or about paths, not both");
      }
      continue;
    }
    if (rule.api_groups().empty()) inside.at("apiGroups").required("must name at least one group");
    if (rule.resources().empty()) inside.at("resources").required("must name at least one resource");
  }
}

}  // namespace gantry::api
