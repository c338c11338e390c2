// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "api/kind_parts.h"
#include "api/kinds/core/service_rules.h"
#include "base/text.h"
#include "kubernetes/core/v1/service.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

std::string external_addresses(const core::Service& service) {
  const core::ServiceSpec& spec = service.spec();
  std::vector<std::string> addresses;
  if (spec.type() == "ExternalName") return spec.external_name();
  if (spec.type() == "LoadBalancer") {
    std::set<std::string> balancers;
    for (const core::LoadBalancerIngress& ingress : service.status().load_balancer().ingress()) {
      const std::string& address = ingress.ip().empty() ? ingress.hostname() : ingress.ip();
      if (!address.empty()) balancers.insert(address);
    }
    addresses.assign(balancers.begin(), balancers.end());
  }
  addresses.insert(addresses.end(), spec.external_ips().begin(), spec.external_ips().end());
  if (!addresses.empty()) return joined(addresses);
  return spec.type() == "LoadBalancer" ? "<pending>" : std::string(kNone);
}

std::string ports_text(const core::ServiceSpec& spec) {
  std::vector<std::string> texts;
  for (const core::ServicePort& port : spec.ports()) {
    texts.push_back(port.node_port() > 0 ? cat(port.port(), ":", port.node_port(), "/", port.protocol())
                                         : cat(port.port(), "/", port.protocol()));
  }
  return joined(texts);
}

std::vector<Value> row(const core::Service& service, int64_t now) {
  const core::ServiceSpec& spec = service.spec();
  return {service.metadata().name(),
          spec.type(),
          spec.cluster_ips().empty() ? Value(kNone) : Value(spec.cluster_ips(0)),
          external_addresses(service),
          or_none(ports_text(spec)),
          age(service.metadata(), now),
          or_none(selector_text(spec.selector()))};
}

}  // namespace

TableRules service_table() {
  return {{name_column(), column("Type", "string", "From where it can be reached."),
           column("Cluster-IP", "string", "Its address within the cluster."),
           column("External-IP", "string", "Its addresses for the world."),
           column("Port(s)", "string", "Its ports, with the nodes' ports behind a colon."), age_column(),
           wide_column("Selector", "string", "Labels of the pods behind it.")},
          over(&row)};
}

}  // namespace gantry::api
