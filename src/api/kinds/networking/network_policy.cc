// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/networking/kinds.h"
#include "kubernetes/networking/v1/network_policy.pb.h"

namespace gantry::api {

namespace {

namespace networking = k8s::io::api::networking::v1;

std::vector<Value> row(const networking::NetworkPolicy& object, int64_t now) {
  return {object.metadata().name(), or_none(selector_text(object.spec().pod_selector())), age(object.metadata(), now)};
}

}  // namespace

Kind network_policy_kind() {
  Kind kind = make_kind<networking::NetworkPolicy>("networkpolicies", "networkpolicy", {"netpol"});
  kind.storage = "networkpolicies";
  kind.has_generation = true;
  kind.table = {{name_column(), column("Pod-Selector", "string", "Labels of the pods that it is about."), age_column()},
                over(&row)};
  return kind;
}

}  // namespace gantry::api
