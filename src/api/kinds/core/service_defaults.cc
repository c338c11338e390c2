// SPDX-License-Identifier: Apache-2.0
#include "api/defaults.h"
#include "api/kinds/core/service_rules.h"
#include "kubernetes/core/v1/service.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

constexpr int32_t kAffinitySeconds = 10800;

void default_affinity(core::ServiceSpec* spec) {
  if (spec->session_affinity().empty()) spec->set_session_affinity("None");
  if (spec->session_affinity() == "None") spec->clear_session_affinity_config();
  if (spec->session_affinity() != "ClientIP") return;
  if (spec->session_affinity_config().client_ip().has_timeout_seconds()) return;
  spec->mutable_session_affinity_config()->mutable_client_ip()->set_timeout_seconds(kAffinitySeconds);
}

void default_port(core::ServicePort* port) {
  if (port->protocol().empty()) port->set_protocol("TCP");
  const bool by_name = port->target_port().type() == 1;
  const bool unset = by_name ? port->target_port().str_val().empty() : port->target_port().int_val() == 0;
  if (!unset) return;
  port->mutable_target_port()->set_type(0);
  port->mutable_target_port()->clear_str_val();
  port->mutable_target_port()->set_int_val(port->port());
}

}  // namespace

void default_service(core::Service* service) {
  apply_constant_defaults(service);
  core::ServiceSpec* spec = service->mutable_spec();
  default_affinity(spec);
  if (spec->type().empty()) spec->set_type("ClusterIP");
  for (core::ServicePort& port : *spec->mutable_ports()) default_port(&port);
  if (is_externally_accessible(*spec) && spec->external_traffic_policy().empty()) {
    spec->set_external_traffic_policy("Cluster");
  }
  if (!spec->has_internal_traffic_policy() && has_cluster_ip(*spec)) spec->set_internal_traffic_policy("Cluster");
  if (spec->type() != "LoadBalancer") return;
  if (!spec->has_allocate_load_balancer_node_ports()) spec->set_allocate_load_balancer_node_ports(true);
  for (core::LoadBalancerIngress& ingress : *service->mutable_status()->mutable_load_balancer()->mutable_ingress()) {
    if (!ingress.ip().empty() && !ingress.has_ip_mode()) ingress.set_ip_mode("VIP");
  }
}

bool has_cluster_ip(const core::ServiceSpec& spec) {
  return spec.type() == "ClusterIP" || spec.type() == "NodePort" || spec.type() == "LoadBalancer";
}

bool is_externally_accessible(const core::ServiceSpec& spec) {
  if (spec.type() == "LoadBalancer" || spec.type() == "NodePort") return true;
  return spec.type() == "ClusterIP" && !spec.external_ips().empty();
}

}  // namespace gantry::api
