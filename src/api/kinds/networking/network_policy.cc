// SPDX-License-Identifier: Apache-2.0

#include "api/check.h"
#include "api/cidr.h"
#include "api/defaults.h"
#include "api/kind_parts.h"
#include "api/kinds/networking/kinds.h"
#include "api/names.h"
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

constexpr int32_t kMaxPort = 65535;

void check_port(const networking::NetworkPolicyPort& port, const Check& check) {
  check.at("protocol").one_of(port.protocol(), {"TCP", "UDP", "SCTP"});
  const Check end = check.at("endPort");
  if (!port.has_port()) {
    if (port.has_end_port()) end.invalid(port.end_port(), "can only be set with port");
  } else if (port.port().type() == 1) {
    if (port.has_end_port()) end.invalid(port.end_port(), "can not be set when port is a name");
    if (const std::string wrong = check_port_name(port.port().str_val()); !wrong.empty()) {
      check.at("port").invalid(port.port().str_val(), wrong);
    }
  } else {
    check.at("port").in_range(port.port().int_val(), 1, kMaxPort);
    if (!port.has_end_port()) return;
    if (port.end_port() < port.port().int_val()) end.invalid(port.end_port(), "must not be less than port");
    end.in_range(port.end_port(), 1, kMaxPort);
  }
}

void check_peer(const networking::NetworkPolicyPeer& peer, const Check& check) {
  const bool selects = peer.has_pod_selector() || peer.has_namespace_selector();
  if (peer.has_pod_selector()) check_label_selector(peer.pod_selector(), check.at("podSelector"));
  if (peer.has_namespace_selector()) check_label_selector(peer.namespace_selector(), check.at("namespaceSelector"));
  if (peer.has_ip_block()) {
    const Check block = check.at("ipBlock");
    block.at("cidr").name(peer.ip_block().cidr(), check_cidr);
    for (int i = 0; i < peer.ip_block().except_size(); ++i)
      block.at("except")[i].well_formed(peer.ip_block().except(i), check_cidr);
    if (selects) check.forbidden("ipBlock stands alone");
  } else if (!selects) {
    check.required("must specify a peer");
  }
}

FieldProblems validate(const networking::NetworkPolicy& object) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec");
  const networking::NetworkPolicySpec& spec = object.spec();
  check_label_selector(spec.pod_selector(), check.at("podSelector"));
  for (int i = 0; i < spec.ingress_size(); ++i) {
    const Check rule = check.at("ingress")[i];
    for (int j = 0; j < spec.ingress(i).ports_size(); ++j) check_port(spec.ingress(i).ports(j), rule.at("ports")[j]);
    for (int j = 0; j < spec.ingress(i).from_size(); ++j) check_peer(spec.ingress(i).from(j), rule.at("from")[j]);
  }
  for (int i = 0; i < spec.egress_size(); ++i) {
    const Check rule = check.at("egress")[i];
    for (int j = 0; j < spec.egress(i).ports_size(); ++j) check_port(spec.egress(i).ports(j), rule.at("ports")[j]);
    for (int j = 0; j < spec.egress(i).to_size(); ++j) check_peer(spec.egress(i).to(j), rule.at("to")[j]);
  }
  if (spec.policy_types_size() > 2) {
    check.at("policyTypes").invalid("", "there are but two");
    return problems;
  }
  for (int i = 0; i < spec.policy_types_size(); ++i) {
    check.at("policyTypes")[i].one_of(spec.policy_types(i), {"Ingress", "Egress"});
  }
  return problems;
}

}  // namespace

Kind network_policy_kind() {
  Kind kind = make_kind<networking::NetworkPolicy>("networkpolicies", "networkpolicy", {"netpol"});
  kind.storage = "networkpolicies";
  kind.validate = over(&validate);
  kind.set_defaults = over(&set_defaults);
  kind.has_generation = true;
  kind.table = {{name_column(), column("Pod-Selector", "string", "Labels of the pods that it is about."), age_column()},
                over(&row)};
  return kind;
}

}  // namespace gantry::api
