// SPDX-License-Identifier: Apache-2.0
#include "api/defaults.h"
#include "api/kind_parts.h"
#include "api/kinds/networking/kinds.h"
#include "kubernetes/networking/v1/network_policy.pb.h"

namespace gantry::api {

namespace {

namespace networking = k8s::io::api::networking::v1;

std::vector<Value> row(const networking::NetworkPolicy& object, int64_t now) {
  return {object.metadata().name(), or_none(selector_text(object.spec().pod_selector())), age(object.metadata(), now)};
}

void default_ports(google::protobuf::RepeatedPtrField<networking::NetworkPolicyPort>* ports) {
  for (networking::NetworkPolicyPort& port : *ports) {
    if (!port.has_protocol()) port.set_protocol("TCP");
  }
}

void set_defaults(networking::NetworkPolicy* object) {
  apply_constant_defaults(object);
  networking::NetworkPolicySpec* spec = object->mutable_spec();
  for (auto& rule : *spec->mutable_ingress()) default_ports(rule.mutable_ports());
  for (auto& rule : *spec->mutable_egress()) default_ports(rule.mutable_ports());
  if (!spec->policy_types().empty()) return;
  spec->add_policy_types("Ingress");
  if (!spec->egress().empty()) spec->add_policy_types("Egress");
}

}  // namespace

Kind network_policy_kind() {
  Kind kind = make_kind<networking::NetworkPolicy>("networkpolicies", "networkpolicy", {"netpol"});
  kind.storage = "networkpolicies";
  kind.set_defaults = over(&set_defaults);
  kind.has_generation = true;
  kind.table = {{name_column(), column("Pod-Selector", "string", "Labels of the pods that it is about."), age_column()},
                over(&row)};
  return kind;
}

}  // namespace gantry::api
